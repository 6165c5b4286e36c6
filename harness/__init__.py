"""Measuring: evaluation of offline multi-agent policies with a simulator in the loop."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("marl-harness")
except PackageNotFoundError:  # run from a source tree that was never installed
    __version__ = "0+source"
