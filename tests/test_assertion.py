"""`harness assert`: what holds, what fails, and what is outside the grammar."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from written_runs import battles, episode, write_run

from env_adapters.errors import (
    AssertionFailedError,
    MismatchError,
    UsageError,
)
from harness.assertion import parse_claim
from harness.cli import run
from harness.statistics import mean_interval, wilson_interval
from harness.statistics.aggregates import iqm


def test_a_claim_that_holds_is_quiet_success(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a = write_run(tmp_path / "a", battles([1] * 28 + [0] * 4))
    claim = "win_rate.lower > 0.6 and episodes == 32 and crashed<1 and return.upper <= 2e1 and iqm >= 19"
    assert run(["assert", a, claim, "--unfinished"]) == 0
    text = capsys.readouterr().out
    assert f"{wilson_interval(28, 32).lower:.4g}" in text and "no" not in text.split()


@pytest.mark.parametrize(
    ("claim", "said"),
    [
        ("win_rate.lower > 0.8", r"win_rate\.lower is 0\.7193\d*, not > 0\.8"),
        ("win_rate > 0.5 and episodes >= 320", "episodes is 32, not >= 320"),
        ("crashed != 0", "crashed is 0, not != 0"),
    ],
)
def test_a_claim_that_fails_has_its_own_exit_code(tmp_path: Path, claim: str, said: str) -> None:
    a = write_run(tmp_path / "a", battles([1] * 28 + [0] * 4))
    with pytest.raises(AssertionFailedError, match=said) as failure:
        run(["assert", a, claim, "--unfinished"])
    assert failure.value.exit_code == 12


def test_every_metric_is_what_it_says(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    records = [*battles([1, 1, 1, 0, 0, 1, 0]), episode(50, None, 2.5, "died")]
    a = write_run(tmp_path / "a", records)
    returns = np.array([record.episode_return for record in records])
    t = mean_interval(returns)
    assert t is not None
    wanted = {"win_rate": 0.5, "win_rate.upper": wilson_interval(4, 8).upper, "return": returns.mean(),
              "return.lower": t.lower, "iqm": float(iqm(returns[:, None])), "episodes": 8, "crashed": 1}  # fmt: skip
    for name, value in wanted.items():
        assert run(["assert", a, f"{name} > {value - 1e-9} and {name} < {value + 1e-9}", "--unfinished"]) == 0


def test_a_bound_that_does_not_exist_never_holds(tmp_path: Path) -> None:
    a = write_run(tmp_path / "a", [episode(i, True, 20.0) for i in range(5)])
    for claim in ("return.lower > 1", "return.lower < 1", "iqm.upper != 3"):
        with pytest.raises(AssertionFailedError, match="says nothing about spread"):
            run(["assert", a, claim, "--unfinished"])


def test_unfinished_runs_do_not_pass_by_accident(tmp_path: Path) -> None:
    a = write_run(tmp_path / "a", battles([1] * 10), planned=22)
    with pytest.raises(AssertionFailedError, match="unfinished: 10 of 32 episodes"):
        run(["assert", a, "win_rate > 0.5"])
    assert run(["assert", a, "win_rate > 0.5", "--unfinished"]) == 0


def test_a_robot_has_no_win_rate(tmp_path: Path) -> None:
    a = write_run(tmp_path / "a", [episode(1, None, 5.0)])
    with pytest.raises(MismatchError, match="assert its return"):
        run(["assert", a, "win_rate > 0.5"])


@pytest.mark.parametrize(
    ("claim", "said"),
    [
        ("", "cannot read ''"),
        ("win_rate", "METRIC"),
        ("win_rat > 0.5", "choose from win_rate"),
        ("win_rate.middle > 0.5", "bounds .lower and .upper"),
        ("episodes.lower > 5", "no bounds"),
        ("win_rate > 60%", "write a win rate of 60 % as 0.6"),
        ("win_rate > nan", "no number"),
        ("win_rate => 0.5", "no number|cannot read"),
        ("win_rate > 0.5 or return > 1", "cannot read"),
        ("win_rate > 0.5 and", "cannot read ''"),
        ("__import__('os').system('true') > 0", "cannot read"),
    ],
)
def test_a_claim_outside_the_grammar_is_explained(claim: str, said: str) -> None:
    with pytest.raises(UsageError, match=said) as failure:
        parse_claim(claim)
    assert failure.value.exit_code == 2
