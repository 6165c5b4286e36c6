"""Measuring: evaluation of offline multi-agent policies with a simulator in the loop."""

from env_adapters.version import project_version

__version__ = project_version()
