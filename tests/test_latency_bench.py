"""`harness bench overhead` and `harness bench latency`: that they run, and report what they say."""

from __future__ import annotations

import numpy as np

from benchmarks import latency, overhead
from benchmarks.noop import NoopEnv, NoopTeam
from env_adapters.rollout import play


def test_overhead_has_a_limit_for_each_way_of_playing() -> None:
    report = overhead.run(overhead.Config(quick=True, n_agents=2), lambda line: None)
    rows = {row["what"]: row for row in report.rows}
    assert report.quick and len(rows) == 8
    limits = {what: row["target"] for what, row in rows.items() if row["target"] is not None}
    assert limits == {
        "in process, one call for the team, p50": 10.0,
        "decentralised, a process per agent, p50": 60.0,
    }
    assert all(row["n"] == 2 and 0 < row["lowest"] <= row["highest"] for row in report.rows)
    alone, together = (rows[what]["median"] for what in reversed(limits))
    assert alone > together, "another process cannot be nearer than this one"


def test_the_empty_world_notes_every_step() -> None:
    with NoopEnv(2, 5) as env:
        (episode,) = play(env, NoopTeam(2), [0])
        assert episode.length == len(env.asked_ns) == 5 and episode.won
        assert (np.diff(env.asked_ns) > 0).all()


def test_latency_compares_the_scenarios() -> None:
    report = latency.run(latency.Config(quick=True), lambda line: None)
    assert [row["scenario"] for row in report.rows] == ["batched", "decentralized"]
    assert {(row["map"], row["agent"], row["n"]) for row in report.rows} == {("5m_vs_6m", "vgm2p", 20)}
    assert [len(row["agents"]) for row in report.rows] == [0, 5]
    assert all(len(cells) == len(report.headers) for cells in report.cells)
