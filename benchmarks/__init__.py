"""What the project measures about itself, one module per benchmark; `harness bench NAME` runs them.

The top floor: benchmarks may import every room, `harness` included, which reaches them by name only. They are never
timed tests.
"""
