"""The percentile rule against its published minima and its promise; the protocol on teams of known speed."""

from __future__ import annotations

import gc
import math
import time
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
import scipy.stats

from benchmarks.noop import NoopEnv, noop_spec
from env_adapters.api import ActionArray, BoolArray, FloatArray, IntArray, TeamPolicy
from env_adapters.errors import InvalidValueError
from env_adapters.rollout import Episode, Recording, play
from harness.latency import protocol
from harness.latency.measure import measure_batched, measure_decentralized
from harness.latency.percentiles import histogram, percentile, samples_above
from harness.latency.protocol import MachineWatch, Surroundings, one_thread, quiet_collector, warm_up
from harness.latency.reports import StepTimes, make_report, team_report
from harness.team import Team, TeamSource, load_team

QUIET = Surroundings(0.5, "performance", 0.0, [])


@pytest.mark.parametrize(
    ("fraction", "minimum"), [(0.5, 11), (0.9, 64), (0.95, 130), (0.99, 662), (0.999, 6636)]
)
def test_smallest_samples_are_the_published_ones(fraction: float, minimum: int) -> None:
    assert samples_above(minimum - 1, fraction) < 1
    assert samples_above(minimum, fraction) == 1
    assert percentile(np.arange(minimum - 1), fraction) is None
    assert percentile(np.arange(minimum), fraction) == minimum - 1


@pytest.mark.parametrize(("fraction", "minimum"), [(0.9, 127), (0.95, 259), (0.99, 1307), (0.999, 13105)])
def test_smallest_samples_with_four_dropped_are_the_published_ones(fraction: float, minimum: int) -> None:
    assert samples_above(minimum - 1, fraction) == 4
    assert samples_above(minimum, fraction) == 5
    assert percentile(np.arange(minimum), fraction) == minimum - 5


@pytest.mark.parametrize("n", [1, 10, 300, 5000, 200_000])
@pytest.mark.parametrize("fraction", [0.5, 0.9, 0.99])
def test_rule_agrees_with_scipy(n: int, fraction: float) -> None:
    t = samples_above(n, fraction)
    tail = scipy.stats.binom(n, 1.0 - fraction).cdf
    assert t == -1 or tail(t) <= 0.01
    assert tail(t + 1) > 0.01


@pytest.mark.parametrize(("n", "fraction"), [(64, 0.9), (300, 0.5), (300, 0.9), (700, 0.99)])
def test_estimate_flatters_in_less_than_one_percent_of_measurements(n: int, fraction: float) -> None:
    rng = np.random.default_rng(1)
    truth = -np.log(1.0 - fraction)
    estimates = [percentile(row, fraction) for row in rng.exponential(size=(3000, n))]
    assert all(estimate is not None for estimate in estimates)
    assert np.mean(np.array(estimates) < truth) <= 0.012
    plain = np.quantile(rng.exponential(size=(3000, n)), fraction, axis=1)
    assert np.mean(plain < truth) > 0.3, "the plain percentile fails the same check"


@pytest.mark.parametrize("bad", [(0, 0.5), (10, 0.0), (10, 1.0), (10, 90.0)])
def test_impossible_percentiles_are_refused(bad: tuple[int, float]) -> None:
    with pytest.raises(InvalidValueError):
        samples_above(*bad)


def test_histogram_keeps_every_sample_in_tenths_of_a_decade() -> None:
    durations = np.random.default_rng(0).lognormal(4.0, 2.0, size=1000)
    bins = histogram(durations)
    assert sum(count for _, count in bins) == 1000
    edges = [edge for edge, _ in bins]
    assert edges == sorted(edges)
    for edge, count in bins:
        low = edge / 10**0.1
        assert count == ((durations > low * (1 + 1e-6)) & (durations <= edge * (1 + 1e-6))).sum()
    assert histogram([10.0, 100.0, 100.1]) == [(10.0, 1), (100.0, 1), (125.893, 1)]


def test_warm_up_goes_on_until_two_windows_agree() -> None:
    calls: list[int] = []

    def call() -> float:
        calls.append(len(calls))
        return max(100.0, 1000.0 - len(calls))  # settles after 900 calls

    assert warm_up(call) == (len(calls), True)
    # Windows that end at 1000 and 900 calls still differ by more than 5 %, those at 1100 and 1000 do not.
    assert len(calls) == 1100
    assert warm_up(lambda: 1.0) == (200, True)
    jitter = iter(range(1, 10_000))
    assert warm_up(lambda: float(2 ** (next(jitter) // 100))) == (2000, False)


def test_the_collector_is_quiet_inside_and_restored_after_an_error() -> None:
    with pytest.raises(RuntimeError, match="agent failed"), quiet_collector():
        assert not gc.isenabled() and gc.get_freeze_count() > 0
        raise RuntimeError("agent failed")
    assert gc.isenabled() and gc.get_freeze_count() == 0


def test_torch_has_one_thread_inside_and_as_many_as_before_afterwards() -> None:
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(2)
    with one_thread():
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == 2
    torch.set_num_threads(before)


@pytest.mark.parametrize(
    ("load", "after_ns", "remarks"),
    [
        (0.5, 1050.0, []),
        (None, 950.0, []),
        (0.5, 1150.0, ["a fixed calculation took +15% time after the measurement"]),
        (0.5, 850.0, ["a fixed calculation took -15% time after the measurement"]),
        (900.0, 1000.0, ["load average 900.0 on"]),
    ],
)
def test_a_busy_machine_is_remarked(
    load: float | None, after_ns: float, remarks: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    times = iter([1000.0, after_ns])
    monkeypatch.setattr(protocol, "calibrate", lambda: next(times))
    monkeypatch.setattr(protocol, "load_average", lambda: load)
    seen = MachineWatch().look()
    assert len(seen.remarks) == len(remarks)
    assert all(said.startswith(remark) for said, remark in zip(seen.remarks, remarks, strict=True))
    assert math.isclose(seen.calibration_drift, after_ns / 1000 - 1) and seen.load_average == load


def test_report_keeps_outliers_and_refuses_what_it_cannot_promise() -> None:
    samples = np.array([1.0] * 299 + [9000.0])
    report = make_report(
        "batched", samples, QUIET, n_warmup=201, settled=True, compile_us=5.0, first_actions_us=samples[:3]
    )
    assert (report.n, report.p50_us, report.p90_us, report.p99_us) == (300, 1.0, 1.0, None)
    assert (report.max_us, report.flagged, report.frequency_governor) == (9000.0, None, "performance")
    assert report.histogram == [(1.0, 299), (10000.0, 1)]
    unsettled = make_report(
        "batched", samples[:5], QUIET, n_warmup=9, settled=False, compile_us=5.0, first_actions_us=samples[:0]
    )
    assert (unsettled.p50_us, unsettled.first_action_us) == (None, 5.0)
    assert unsettled.flagged == "not settled after 9 joint actions of warm-up"


def test_team_report_takes_the_slowest_agent_of_each_step_and_transport_apart() -> None:
    times = StepTimes(2)
    times.begin(np.array([1000, 1000]))
    times.add(900_000, np.array([700_000, 800_000]))  # the very first action
    for step in range(20):
        if step in (5, 10):
            times.begin(np.array([30_000, 10_000]))
        odd = step % 2
        times.add(100_000, np.array([20_000 + 50_000 * odd, 40_000]))
    samples = times.samples_us()
    assert samples.shape == (20, 3) and samples[1].tolist() == [100.0, 70.0, 40.0]
    report = team_report("decentralized", samples, times, QUIET, n_warmup=1, settled=True)
    assert (report.n, report.compile_us, report.max_us) == (20, 800.0, 70.0)
    assert report.p50_us == 70.0 and [agent.p50_us for agent in report.agents] == [70.0, 40.0]
    assert [agent.max_us for agent in report.agents] == [70.0, 40.0]
    assert report.transport_p50_us == 60.0
    assert report.first_action_us == 75.0  # median of max(30 + 70, 10 + 40) and max(30 + 20, 10 + 40)
    times.clear()
    assert len(times) == 0 and times.compile_ns == 800_000
    with pytest.raises(InvalidValueError, match="no joint action"):
        team_report("decentralized", times.samples_us(), times, QUIET, n_warmup=1, settled=True)


class _Sleepy:
    """A team that needs 20 ms at first, then 2 ms, and as much again for the start of an episode."""

    def __init__(self) -> None:
        self.calls: list[tuple[object, ...]] = []

    def begin(self, episode_seeds: IntArray, games: IntArray) -> None:
        time.sleep(0.002)
        self.calls.append(("begin", int(episode_seeds[0])))

    def act(self, observations: FloatArray, available_actions: BoolArray | None) -> ActionArray:
        assert observations.shape == (1, 2, 55)
        assert available_actions is not None and available_actions.shape == (1, 2, 12)
        time.sleep(0.002 if any(call[0] == "act" for call in self.calls) else 0.02)
        self.calls.append(("act", gc.isenabled()))
        return np.zeros((1, 2), dtype=np.int64)


@pytest.fixture(scope="module")
def episodes() -> Iterator[list[Episode]]:
    team = load_team("noop", noop_spec(2), TeamSource("benchmarks.noop:make"))
    with NoopEnv(2, 7) as env:
        yield list(play(env, team.vector(1), [3, 4], Recording(transitions=True)))


def test_batched_protocol(episodes: list[Episode], monkeypatch: pytest.MonkeyPatch) -> None:
    sleepy = _Sleepy()
    team = load_team("noop", noop_spec(2), TeamSource("benchmarks.noop:make"))
    sleeping: Team = replace(team, vector=lambda n_games: _only_one(sleepy, n_games))
    report, samples = measure_batched(sleeping, episodes, n_samples=64)
    acts = [call for call in sleepy.calls if call[0] == "act"]
    assert len(acts) == report.n_warmup + 64 + 21 and report.n_warmup >= 201
    assert [enabled for _, enabled in acts].index(False) == report.n_warmup, (
        "quiet from the first timed one on"
    )
    assert sleepy.calls[:9] == [("begin", 3), *[("act", True)] * 7, ("begin", 4)], "as the episodes went"
    assert samples.shape == (64,) and samples.min() >= 2000.0
    assert report.scenario == "batched" and report.n == 64 and report.p99_us is None
    assert report.p50_us is not None and report.p90_us is not None
    assert 2000.0 <= report.p50_us <= report.p90_us <= report.max_us == samples.max()
    assert report.compile_us >= 20_000 > report.p50_us and report.first_action_us >= 4000.0


def _only_one(policy: TeamPolicy, n_games: int) -> TeamPolicy:
    assert n_games == 1
    return policy


def test_decentralized_protocol(episodes: list[Episode]) -> None:
    team = load_team("noop", noop_spec(2), TeamSource("benchmarks.noop:make"))
    report, samples = measure_decentralized("noop", team, episodes, n_samples=30)
    assert samples.shape == (30, 3) and report.n == 30 and report.n_warmup >= 201
    assert (samples[:, 0] > samples[:, 1:].max(axis=1)).all() and samples.min() > 0
    assert [agent.agent_index for agent in report.agents] == [0, 1]
    assert report.max_us == samples[:, 1:].max() and report.transport_p50_us is not None
    assert report.late_share is None and report.compile_us > 0 and report.first_action_us > 0


def test_measurements_without_samples_or_observations_are_refused(episodes: list[Episode]) -> None:
    team = load_team("noop", noop_spec(2), TeamSource("benchmarks.noop:make"))
    with pytest.raises(InvalidValueError, match="at least one sample"):
        measure_batched(team, episodes, n_samples=0)
    for nothing in ([], [Episode(0, rewards=[1.0])]):
        with pytest.raises(InvalidValueError, match="record the transitions"):
            measure_decentralized("noop", team, nothing)
