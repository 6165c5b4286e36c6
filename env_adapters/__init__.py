"""The worlds: simulators behind one decentralised contract. NumPy and Numba only, never torch."""
