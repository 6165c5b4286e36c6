"""`harness compare` on small run directories, through the command line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.stats
from written_runs import battles, episode, write_run

from env_adapters.errors import (
    HarnessError,
    InvalidValueError,
    MismatchError,
    UnknownNameError,
)
from harness.cli import run
from harness.statistics import mean_interval


def answer(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert run(arguments) == 0
    return capsys.readouterr().out


def data(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    found = json.loads(answer(capsys, "compare", *arguments, "--json"))
    assert isinstance(found, dict)
    return found


def test_paired_runs_are_compared_episode_by_episode(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ours, theirs = [1] * 60 + [0] * 40, [1] * 45 + [0] * 15 + [1] * 3 + [0] * 37
    a, b = write_run(tmp_path / "a", battles(ours)), write_run(tmp_path / "b", battles(theirs)[::-1])
    (pair,) = data(capsys, a, b)["pairs"]
    gap = pair["win_rate"]
    assert (gap["better"], gap["worse"], gap["equal"]) == (15, 3, 82)
    assert gap["estimate"] == pytest.approx(0.12) and pair["paired"] and pair["episodes"] == [100, 100]
    assert gap["p_value"] == pytest.approx(scipy.stats.binomtest(3, 18).pvalue) == pair["p_corrected"]
    assert (
        pair["verdict"]
        == "a wins 12 points more often than b [3, 20], p = 0.0075 (McNemar, exact, 100 paired episodes)"
    )
    returns = pair["episode_return"]
    expected = [
        x.episode_return - y.episode_return for x, y in zip(battles(ours), battles(theirs), strict=True)
    ]
    assert returns["estimate"] == pytest.approx(np.mean(expected))
    t = mean_interval(expected)
    assert t is not None and returns["interval"] == pytest.approx(t, abs=0.25)
    (mirrored,) = data(capsys, b, a)["pairs"]
    assert mirrored["win_rate"]["estimate"] == -gap["estimate"]
    assert "less often than a [-20, -3]" in mirrored["verdict"]


def test_the_table_is_readable_and_repeats_to_the_byte(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    a = write_run(tmp_path / "a", battles([1] * 20 + [0] * 12))
    b = write_run(tmp_path / "b", battles([0] * 8 + [1] * 18 + [0] * 6))
    first = answer(capsys, "compare", a, b)
    assert first == answer(capsys, "compare", a, b)
    assert first != answer(capsys, "compare", a, b, "--seed", "1", "--n-resamples", "200")
    assert "62% [45, 77]" in first and "\nno clear difference: a wins 6 points more often than b" in first
    assert "[99 %]" in answer(capsys, "compare", a, b, "--confidence", "0.99")


def test_a_broken_off_episode_counts_as_lost_with_its_return(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    a = write_run(tmp_path / "a", [episode(0, True, 20.0), episode(1, None, 3.0, "worker died")])
    b = write_run(tmp_path / "b", [episode(0, True, 20.0), episode(1, True, 20.0)])
    found = data(capsys, a, b)
    assert [row["win_rate"] for row in found["rows"]] == [0.5, 1.0]
    assert found["rows"][0]["return_mean"] == 11.5
    assert any("1 episodes broke off with an error and count as lost" in note for note in found["notes"])


def test_without_common_episodes_the_comparison_is_unpaired_and_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    a = write_run(tmp_path / "a", battles([1] * 25 + [0] * 7))
    b = write_run(tmp_path / "b", battles([1] * 10 + [0] * 22, first_seed=500))
    found = data(capsys, a, b)
    (pair,) = found["pairs"]
    assert not pair["paired"] and pair["win_rate"]["better"] is None
    assert pair["p_value"] == pytest.approx(scipy.stats.fisher_exact([[25, 7], [10, 22]]).pvalue)
    assert "share no episode seeds" in found["notes"][0]
    returns = [[r.episode_return for r in battles(w)] for w in ([1] * 25 + [0] * 7, [1] * 10 + [0] * 22)]
    wanted = scipy.stats.ttest_ind(*returns, equal_var=False)
    assert pair["episode_return"]["p_value"] == pytest.approx(wanted.pvalue)


def test_partly_shared_and_unfinished_runs_are_compared_on_what_they_share(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    a = write_run(tmp_path / "a", battles([1] * 30))
    b = write_run(tmp_path / "b", battles([0] * 12 + [1] * 8), planned=12)
    found = data(capsys, a, b)
    assert found["pairs"][0]["episodes"] == [20, 20] and found["pairs"][0]["win_rate"]["better"] == 12
    assert any("b is unfinished: 20 of 32 episodes" in note for note in found["notes"])
    assert any("compared on the 20 episodes" in note for note in found["notes"])


def test_several_runs_are_corrected_for_several_pairs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = [
        write_run(tmp_path / name, battles([1] * wins + [0] * (40 - wins)))
        for name, wins in (("a", 30), ("b", 20), ("c", 18))
    ]
    pairs = data(capsys, *runs)["pairs"]
    raw = [pair["p_value"] for pair in pairs]
    assert [(pair["ours"], pair["theirs"]) for pair in pairs] == [("a", "b"), ("a", "c"), ("b", "c")]
    assert [pair["p_corrected"] for pair in pairs] == pytest.approx(
        [2 * raw[0], 3 * raw[1], max(raw[2], 2 * raw[0])]
    )
    assert "after Holm over 3 pairs" in pairs[0]["verdict"]


def test_groups_of_training_seeds_speak_of_methods(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rng = np.random.default_rng(0)
    groups = [
        ",".join(
            write_run(tmp_path / f"{name}{k}", battles(list((rng.random(60) < rate + 0.02 * k).astype(int))))
            for k in range(4)
        )
        for name, rate in (("a", 0.8), ("b", 0.4))
    ]
    found = data(capsys, *groups)
    (pair,) = found["pairs"]
    assert pair["covers_training"] and pair["training_seeds"] == [4, 4] and pair["episodes"] == [240, 240]
    assert pair["ours"] == "a0,a1,a2,a3" and "4 and 4 training seeds" in pair["verdict"]
    low, high = pair["win_rate"]["interval"]
    assert low < 0.4 < high and pair["p_value"] < 0.01
    assert all("more" in row["advice"] for row in found["rows"])
    alone = groups[0].split(",")[0]
    mixed = data(capsys, alone, groups[1])
    assert not mixed["pairs"][0]["covers_training"] and "these checkpoints only" in mixed["notes"][-1]


def test_groups_that_never_vary_are_undecided_not_certain(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sides = [
        ",".join(write_run(tmp_path / f"{n}{k}", battles([w] * 5)) for k in range(2))
        for n, w in (("a", 1), ("b", 0))
    ]
    (pair,) = data(capsys, *sides)["pairs"]
    assert pair["win_rate"]["interval"] is None and pair["verdict"].startswith("undecided")


def test_where_nobody_wins_returns_decide(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rng = np.random.default_rng(0)
    a, b = (
        write_run(tmp_path / n, [episode(i, None, float(rng.normal(m, 5))) for i in range(10)])
        for n, m in (("a", 120), ("b", 90))
    )
    text = answer(capsys, "compare", a, b)
    assert "win rate" not in text
    assert (
        "a returns" in text and "more than b" in text and "p = 0.002 (sign test, 10 paired episodes)" in text
    )


def test_a_single_common_episode_has_no_interval(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a, b = (write_run(tmp_path / n, [episode(1, None, v)]) for n, v in (("a", 1.0), ("b", 2.0)))
    text = answer(capsys, "compare", a, b)
    assert "returns 1.00 less than b [-], p = 1" in text and "note: [-] is an interval" in text
    same = answer(capsys, "compare", a, a)
    assert "same checkpoint" in same and f"{a} returns as much as {a}" in same


@pytest.mark.parametrize("key", ["scenario", "layout", "engine"])
def test_runs_that_cannot_be_compared_are_refused_by_key(tmp_path: Path, key: str) -> None:
    a = write_run(tmp_path / "a", battles([1, 0]))
    b = write_run(tmp_path / "b", battles([1, 0]), **{key: "other"})
    with pytest.raises(MismatchError, match=f"differ in {key}: .* and other"):
        run(["compare", a, b])


def test_mistakes_are_named(tmp_path: Path) -> None:
    a = write_run(tmp_path / "a", battles([1, 0]))
    empty = write_run(tmp_path / "empty", [], planned=3)
    other = write_run(tmp_path / "other", battles([1, 0]), agent="vgm2p")
    wrong: list[tuple[list[str], type[HarnessError], str]] = [
        ([a], InvalidValueError, "two runs or more"),
        ([a, empty], InvalidValueError, "no finished episode"),
        ([a, str(tmp_path / "missing")], UnknownNameError, "is not a run directory"),
        ([f"{a},{other}", a], MismatchError, "mixes agent bc and vgm2p"),
        ([f"{a},{a}", a], InvalidValueError, "same checkpoint twice"),
        ([a, ","], InvalidValueError, "names no run"),
        ([a, a, "--confidence", "95"], InvalidValueError, "--confidence"),
        ([a, a, "--n-resamples", "0"], InvalidValueError, "--n-resamples"),
    ]
    for arguments, kind, said in wrong:
        with pytest.raises(kind, match=said):
            run(["compare", *arguments])
