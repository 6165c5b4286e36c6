"""`harness bench batches` runs, compares in the same run, and judges what has a target."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import batches
from datasets.formats.native import open_dataset
from env_adapters.errors import InvalidValueError

PROJECT = Path(__file__).resolve().parents[1]


def test_the_report(path: Path) -> None:
    command = [sys.executable, "-m", "harness", "bench", "batches", "--quick", "--json", "--file", str(path)]
    answer = subprocess.run(
        command, env=os.environ | {"PYTHONPATH": str(PROJECT)}, capture_output=True, text=True, timeout=300
    )
    assert answer.returncode == 0, answer.stderr
    report = json.loads(answer.stdout)
    rows = {row["what"].split(",")[0]: row for row in report["rows"]}
    assert report["quick"] is True and "11 transitions of 2 agents" in report["notes"][0]
    ratio = next(row for name, row in rows.items() if name.startswith("batches drawn / NumPy"))
    assert ratio["unit"] == "ratio" and ratio["lowest"] > 0 and ratio["n"] == 2
    assert {row["target"] for row in report["rows"]} >= {20_000.0, 1.0}
    assert any(row["unit"] == "MB" and row["median"] > 0 for row in report["rows"]) or sys.platform != "linux"


def test_the_file_that_is_made_up_has_the_maps_shapes(tmp_path: Path) -> None:
    batches.write_random(tmp_path / "a.h5", 60)
    dataset = open_dataset(tmp_path / "a.h5")
    assert (dataset.n_transitions, dataset.n_episodes) == (60, 3)
    assert dataset.observations.shape[1:] == (5, 55) and dataset.states.shape[1:] == (98,)


def test_what_is_compared_copies_the_same(path: Path) -> None:
    """Both draw from the same seed, so the same rows must come out."""
    import numpy as np

    from datasets.batches import BatchSampler

    dataset = open_dataset(path)
    pairs, actions, single = batches._fancy(dataset)()  # type: ignore[misc]
    batch = BatchSampler(dataset, 64, np.random.default_rng(1)).draw()
    np.testing.assert_array_equal(pairs[0][0], batch.observations)
    np.testing.assert_array_equal(pairs[1][1], batch.next_states)
    np.testing.assert_array_equal(actions, batch.actions)
    np.testing.assert_array_equal(single[0], batch.rewards)


@pytest.mark.parametrize("option", ["transitions", "repetitions"])
def test_counts_below_one_are_refused(option: str) -> None:
    with pytest.raises(InvalidValueError, match=f"--{option}"):
        batches.Config(**{option: 0})  # type: ignore[arg-type]
