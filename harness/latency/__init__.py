"""What an action takes in wall-clock time, by a stated protocol (docs/latency.md)."""

from harness.latency.measure import measure_batched, measure_decentralized

__all__ = ["measure_batched", "measure_decentralized"]
