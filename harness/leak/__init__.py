"""Does every agent act on its own observation alone? `check_leak` tries to show that it does not.

An agent is decentralised when its action is a function of its own views up to now and its own noise. So an agent
is played through the history of a recorded episode again, with exactly its own views and noise, while everything
else is replaced: what its teammates see, their masks and memory, the other games of the batch, the world behind.
Not one bit of what it does may change. No finding proves nothing beyond the states and perturbations tried, so
the report counts both, and a replacement that happened to equal the original counts as none.
"""

from __future__ import annotations

from harness.leak.check import check_leak
from harness.leak.processes import check_processes
from harness.leak.report import Finding, LeakReport

__all__ = ["Finding", "LeakReport", "check_leak", "check_processes"]
