"""Episodes played in this process: no supervision of hangs and dying processes, otherwise as `harness.supervise`."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator

from env_adapters.errors import InvalidValueError
from harness.jobs import Job, play_job
from harness.schema import EpisodeRecord, Incident, LatencyReport
from harness.suspects import Suspects
from harness.watching import Blame, Watch
from harness.workers import describe_error


class LocalPlayer:
    """Plays a job's episodes in this process; the same interface as `harness.supervise.Supervisor`.

    Args:
        job: what plays where.
        n_games: games side by side.
        retries: how often an episode that the simulator broke off is tried again.
        note: receives every incident as it happens.
    """

    def __init__(self, job: Job, n_games: int, retries: int, note: Callable[[Incident], None]) -> None:
        self._job, self._n_games = job, n_games
        self._suspects = Suspects(retries, note)
        self._draining = False
        self.latency: LatencyReport | None = None
        """What actions took while they were played, where agents ran in processes of their own."""

    def __enter__(self) -> LocalPlayer:
        return self

    def __exit__(self, *_: object) -> None:
        self.drain()

    def drain(self) -> None:
        """Start no further episode; those under way are finished."""
        self._draining = True

    def play(self, seeds: Iterable[int]) -> Iterator[EpisodeRecord]:
        """Yield one record per seed as episodes end, those that broke off included."""
        queue, suspects = deque(seeds), self._suspects.waiting
        while (queue or suspects) and not self._draining:
            yield from self._batch(suspects, 1) if suspects else self._batch(queue, self._n_games)

    def _batch(self, waiting: deque[int], n_games: int) -> Iterator[EpisodeRecord]:
        """Play until nothing waits or something goes wrong."""
        under_way: list[int] = []
        has_started = False

        def seeds() -> Iterator[int]:
            nonlocal has_started
            has_started = True
            while waiting and not self._draining:
                under_way.append(waiting.popleft())
                yield under_way[-1]

        watch = Watch()
        try:
            for episode in play_job(self._job, seeds(), n_games, watch):
                under_way.remove(episode.seed)
                try:
                    yield EpisodeRecord.of(episode)
                except InvalidValueError as error:
                    yield from self._judge([episode.seed], "simulator", error)
            self.latency = watch.report or self.latency
        except (Exception, SystemExit) as error:
            if not has_started:
                raise
            yield from self._judge(under_way, watch.blame(error), error)

    def _judge(self, lost: list[int], side: Blame, error: BaseException) -> Iterator[EpisodeRecord]:
        broken = self._suspects.judge(lost, side, describe_error(error), is_mistake=True)
        if broken is not None:
            yield broken
