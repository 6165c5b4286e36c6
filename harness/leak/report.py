"""What the leak check hands back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

CHANNELS = {
    "teammates": "acts on teammates' observations",
    "memory": "acts on teammates' memory",
    "world": "acts on the world's state",
    "episodes": "acts on earlier episodes",
    "games": "acts on other games of the batch",
    "order": "acts on the order in which agents are asked",
    "arrays": "keeps or changes the team's arrays after it has acted",
    "process": "acts otherwise when alone in a process",
    "repeat": "does not repeat itself",
}
"""Channel -> what an agent that uses it does; the most telling one first."""

OPEN = "it could choose any action"
"""How the words of a perturbation end that was tried with every action available to the agent."""

Channel = Literal["teammates", "memory", "world", "games", "order", "episodes", "arrays", "process", "repeat"]


@dataclass(frozen=True)
class Finding:
    """One agent at one moment that did not do the same again: the first such moment of its channel."""

    channel: Channel
    """Key of `CHANNELS`."""
    agent: int
    step: int
    episode_seed: int
    perturbation: str
    """What was different, in words."""
    what: Literal["action", "inside"]
    """Whether the action changed, or only what an agent computes or remembers on the way to it."""
    expected: str
    """The action of the recorded episode."""
    got: str
    """The action now; the same text where only the inside changed."""

    @property
    def example(self) -> str:
        """What happened, without the agent."""
        changed = (
            f"action {self.expected} became {self.got}"
            if self.what == "action"
            else f"the numbers behind action {self.expected} changed"
        )
        return f"at step {self.step} of episode {self.episode_seed} {changed} when {self.perturbation}"

    def __str__(self) -> str:
        return f"agent {self.agent} {CHANNELS[self.channel]}: {self.example}"


@dataclass(frozen=True)
class LeakReport:
    """What was tried, and what it found."""

    findings: tuple[Finding, ...]
    """One per agent and channel."""
    n_views: int
    """Pairs of agent and moment in the recorded episodes."""
    n_tested: int
    """Those at which each teammate's observation or mask was really replaced in at least one run, and that were compared."""
    n_comparisons: int
    """Comparisons of one agent's output at one moment, over all runs."""
    perturbations: tuple[str, ...]
    """What was tried, in words."""
    skipped: tuple[str, ...] = ()
    """What could not be tried, and why."""
    is_alone: bool = False
    """Whether there is one agent only, so that nobody can be spied on."""
    processes: bool = False
    """Whether every agent also played alone in a process of its own."""

    @property
    def is_decentralized(self) -> bool | None:
        """False with findings, True when every view was tested without one, None when some could not be tested."""
        if self.findings:
            return False
        return True if self.is_alone or (self.n_tested == self.n_views and self.n_views > 0) else None

    @property
    def line(self) -> str:
        """The cell of a leaderboard: `yes (1,160 views)`, `no: agent 2 acts on teammates' observations`."""
        if self.findings:
            worst = min((finding.channel for finding in self.findings), key=list(CHANNELS).index)
            agents = sorted({finding.agent for finding in self.findings if finding.channel == worst})
            noun, verb = ("agent", CHANNELS[worst])
            if len(agents) > 1:
                noun, (first, _, rest) = "agents", CHANNELS[worst].partition(" ")
                plural = {"acts": "act", "keeps": "keep", "does": "do"}[first]
                verb = f"{plural} {rest.replace('repeat itself', 'repeat themselves')}"
            return f"no: {noun} {', '.join(map(str, agents))} {verb}"
        if self.is_decentralized is None:
            return f"not shown ({self.n_tested:,} of {self.n_views:,} views could be tested)"
        how = ", one agent" if self.is_alone else ", also in separate processes" if self.processes else ""
        return f"yes ({self.n_views:,} views{how})"

    def with_processes(self, findings: Sequence[Finding]) -> LeakReport:
        """This report, extended by what `check_processes` found."""
        tried = (*self.perturbations, "every agent alone in a process of its own")
        return replace(self, findings=(*self.findings, *findings), perturbations=tried, processes=True)
