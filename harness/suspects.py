"""What becomes of episodes whose worker was lost: suspects are played alone, the guilty one ends as a broken record."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable

from harness.schema import EpisodeRecord, Incident
from harness.watching import Blame


class Suspects:
    """Episodes that were under way when something went wrong.

    Attributes:
        waiting: episodes to play again, each alone.

    Args:
        retries: how often an episode that the simulator broke off is tried again.
        note: receives every incident as it happens.
    """

    def __init__(self, retries: int, note: Callable[[Incident], None]) -> None:
        self.waiting: deque[int] = deque()
        self._retries, self._note = retries, note
        self._attempts: Counter[int] = Counter()

    def judge(self, lost: list[int], side: Blame, why: str, is_mistake: bool) -> EpisodeRecord | None:
        """Decide about the episodes that were under way.

        Several are all played again, each alone: the one that fails alone is to blame. What the simulator did
        wrong is tried again; what the agent did wrong is not, for the same seed brings the same mistake.

        Args:
            lost: their seeds.
            side: whose turn it was.
            why: in words.
            is_mistake: whether code raised or hung, as it will do again; else a process died.

        Returns:
            The record of an episode that is given up, or None.
        """
        if len(lost) != 1:
            self.waiting.extend(lost)
            self._note(Incident(lost, 0, side, why, "played one by one"))
            return None
        seed = lost[0]
        self._attempts[seed] += 1
        attempt = self._attempts[seed]
        if (side == "agent" and is_mistake) or attempt > self._retries:
            self._note(Incident(lost, attempt, side, why, "given up"))
            return EpisodeRecord.broken(seed, f"{side}: {why}")
        self._note(Incident(lost, attempt, side, why, "tried again"))
        self.waiting.append(seed)
        return None
