"""The book of a leak check: what was compared, what was really different, what was found."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from env_adapters.api import BoolArray
from env_adapters.rollout import Episode
from harness.leak.histories import Trace
from harness.leak.report import Channel, Finding, LeakReport


class Ledger:
    """Collects findings, one per agent and channel.

    Args:
        n_agents: N.
    """

    def __init__(self, n_agents: int) -> None:
        self.n_agents = n_agents
        self._findings: dict[tuple[int, Channel], Finding] = {}
        self._tried: dict[str, None] = {}
        self._skipped: dict[str, None] = {}
        self._n_comparisons = 0
        self._covered: list[BoolArray] = []

    def begin(self, episode: Episode) -> None:
        """Turn to the next episode."""
        self._episode = episode
        shape = (episode.length, self.n_agents)
        self._covered.append(np.zeros((*shape, self.n_agents), dtype=np.bool_))
        self._covered[-1][:, range(self.n_agents), range(self.n_agents)] = True
        self._ignored = {"action": np.zeros(shape, dtype=np.bool_), "inside": np.zeros(shape, dtype=np.bool_)}

    def ignore(self, actions: BoolArray, insides: BoolArray) -> None:
        """Leave out moments [T, N] at which agents do not repeat themselves anyway."""
        self._ignored = {"action": actions, "inside": insides}

    def tried(self, perturbation: str, trace: Trace) -> bool:
        """Book a run; False, with a note, where the team failed before its first action."""
        if len(trace.actions):
            self._tried[perturbation] = None
        if trace.failure is not None:
            kept = f"after {len(trace.actions)} steps" if len(trace.actions) else "at once"
            self._skipped[f"{perturbation}: the team failed {kept} ({trace.failure})"] = None
        return len(trace.actions) > 0

    def cover(self, changed: BoolArray, keep: BoolArray) -> None:
        """Note whose rows really differed [T', G, N] while which agents were compared [G, N]."""
        compared = keep[None] & ~self._ignored["action"][: len(changed), None]
        pairs = np.einsum("tgi,tgj->tij", compared.astype(np.int32), changed.astype(np.int32)) > 0
        self._covered[-1][: len(changed)] |= pairs

    def suspects(self, reference: Trace, other: Trace, keep: BoolArray) -> BoolArray:
        """Games in which a kept agent [G, N] did something else [G]."""
        acted, inside = self._unequal(reference, other, keep)
        self._n_comparisons += int(keep.sum()) * len(acted)
        return np.asarray((acted | inside).any(axis=(0, 2)))

    def compare(
        self,
        channel: Channel,
        perturbation: str,
        reference: Trace,
        other: Trace,
        keep: BoolArray,
        moments: slice = slice(None),
    ) -> bool:
        """Compare kept agents [G, N] with a reference of one game; whether one did something else in these moments."""
        acted, inside = self._unequal(reference, other, keep)
        self._n_comparisons += int(keep.sum()) * len(acted)
        outside = np.ones(len(acted), dtype=np.bool_)
        outside[moments] = False
        acted[outside], inside[outside] = False, False
        found = acted | inside
        for agent in np.flatnonzero(found.any(axis=(0, 1))):
            flips = np.argwhere(acted[:, :, agent])
            step, game = (flips if len(flips) else np.argwhere(found[:, :, agent]))[0]
            texts = (
                self._text(trace.actions[step, g, agent]) for trace, g in ((reference, 0), (other, game))
            )
            what: Literal["action", "inside"] = "action" if len(flips) else "inside"
            self._keep(
                Finding(channel, int(agent), int(step), self._episode.seed, perturbation, what, *texts)
            )
        return bool(found.any())

    def _text(self, action: npt.NDArray[Any]) -> str:
        """The bits of one action as a reader knows it."""
        is_float = self._episode.actions[0].dtype == np.float32
        return str(action.view(np.float32).tolist() if is_float else int(action))

    def _keep(self, finding: Finding) -> None:
        """The first of an agent and channel, but one that changed an action before one that did not."""
        known = self._findings.get((finding.agent, finding.channel))
        if known is None or (known.what == "inside" and finding.what == "action"):
            self._findings[finding.agent, finding.channel] = finding

    def _unequal(self, reference: Trace, other: Trace, keep: BoolArray) -> tuple[BoolArray, BoolArray]:
        acted, inside = reference.differs(other)
        acted = acted & keep[None] & ~self._ignored["action"][: len(acted), None]
        return acted, inside & keep[None] & ~self._ignored["inside"][: len(acted), None]

    def report(self) -> LeakReport:
        """Everything so far."""
        tested = [covered.all(axis=2) for covered in self._covered]
        return LeakReport(
            findings=tuple(self._findings[key] for key in sorted(self._findings)),
            n_views=sum(moments.size for moments in tested),
            n_tested=sum(int(moments.sum()) for moments in tested),
            n_comparisons=self._n_comparisons,
            perturbations=tuple(self._tried),
            skipped=tuple(self._skipped),
            is_alone=self.n_agents == 1,
        )
