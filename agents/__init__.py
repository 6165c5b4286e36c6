"""The policies: one file per algorithm, shared parts in networks, flows and critics."""
