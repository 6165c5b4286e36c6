"""`harness bench act`: every row is there, and plain NumPy chooses the same actions as the agent it is compared with."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from itertools import cycle
from pathlib import Path

import pytest
import torch
from test_agents import DISCRETE, build, observe

from benchmarks.act import one_action, plain_numpy
from benchmarks.measurement import in_turns, percent, ratios
from env_adapters.api import AgentView

PROJECT = Path(__file__).resolve().parents[1]
torch.set_num_threads(1)


def test_the_report_has_its_rows() -> None:
    command = [sys.executable, "-m", "harness", "bench", "act", "--quick", "--json"]
    answer = subprocess.run(
        command, env=os.environ | {"PYTHONPATH": str(PROJECT)}, capture_output=True, text=True, timeout=300
    )
    assert answer.returncode == 0, answer.stderr
    report = json.loads(answer.stdout)
    assert report["benchmark"] == "act" and report["quick"] is True
    rows = {row["what"]: row for row in report["rows"]}
    targets = {what: row["target"] for what, row in rows.items() if row["target"] is not None}
    assert targets == {
        "one action: vgm2p / NumPy": 1.3,
        "one action: vgm2p-fm / vgm2p": 9.0,
        "10 rows: vgm2p-fm / vgm2p": 9.0,
        "one action: madiff-released / vgm2p": 100.0,
    }
    for name in ("mac-flow", "bc-meanflow", "bc-flow", "bc-categorical", "bc-diffusion"):
        assert rows[f"one action: {name}"]["unit"] == "us"
        assert rows[f"10 rows: {name}"]["unit"] == "actions/s"
    assert all(
        row["n"] == 2 and 0 < row["lowest"] <= row["median"] <= row["highest"] for row in rows.values()
    )
    limit = rows["one action: vgm2p / NumPy"]
    assert (limit["verdict"] == "reached") is (limit["median"] <= 1.3), "an upper limit"


def test_plain_numpy_chooses_the_same_actions() -> None:
    agent, params = build("vgm2p", DISCRETE)
    observations, masks = observe(DISCRETE, 40)
    assert masks is not None
    views = [AgentView(observations[g, i], masks[g, i], i, 0) for g in range(40) for i in range(5)]
    ours, plain = one_action(agent, params, cycle(views)), plain_numpy(params, DISCRETE, cycle(views))
    chosen = [(ours(), plain()) for _ in views]
    assert all(a == b for a, b in chosen)
    assert len({a for a, _ in chosen}) > 4


def test_contenders_take_turns_for_about_as_long() -> None:
    now, played = [0.0], []

    def contender(name: str, cost: float):  # type: ignore[no-untyped-def]
        def steps(n: int) -> None:
            played.append((name, n))
            now[0] += n * cost

        return steps

    contenders = {"fast": contender("fast", 0.1), "slow": contender("slow", 7.0)}
    found = in_turns(contenders, 2, 1.0, lambda: now[0])
    assert (
        played == [("fast", 1)] * 2 + [("slow", 1)] * 2 + [("fast", 10), ("slow", 1)] * 2 or played[4][1] == 9
    )
    assert found["fast"] == pytest.approx([0.1, 0.1]) and found["slow"] == pytest.approx([7.0, 7.0])
    assert ratios([2.0], [4.0]) == [0.5] and percent([2.0], [4.0]) == [50.0]
