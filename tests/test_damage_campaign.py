"""Every file of a finished run cut short at every byte of its end, and with single bits flipped: never a wrong number."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from faulty_worlds import COUNTERS
from sample_runs import flipped

from env_adapters.errors import CorruptFileError, HarnessError
from harness.evaluate import evaluate
from harness.leaderboard import leaderboard
from harness.options import EvaluateConfig
from harness.records import load_incidents, load_latency, load_manifest, load_run, load_summary
from harness.run_directory import RunDirectory
from harness.schema import Incident
from harness.verify import verify

HERE = Path(__file__).parent
FILES = ("manifest.json", "episodes.jsonl", "summary.json", "latency.json", "incidents.jsonl")
FINALS = ("episodes.jsonl", "summary.json")
TAIL_BYTES = 4096

Damage = tuple[str, bytes]
"""What was done, in words, and the file's content after that."""


def play(out: Path, **options: Any) -> None:
    """20 episodes in this process, some of them at the second try."""
    settings: dict[str, Any] = {"episodes": 20, "n_games": 4, "workers": 0, "video": 0, "latency": "none"}
    world, agent = f"{HERE / 'campaign_worlds.py'}:LosingItsGameOnce", f"{HERE / 'faulty_agents.py'}:Walker"
    evaluate(EvaluateConfig(world, agent=agent, out=out, **settings | options))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A finished run with all five files that commands read, and the samples behind its timings."""
    folder = tmp_path_factory.mktemp("damage")
    (folder / "counters").mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(COUNTERS, str(folder / "counters"))
        play(folder / "whole", latency="batched")
        there = {path.name for path in (folder / "whole").iterdir()}
        assert there == {*FILES, "latency_samples.npy"}
        yield folder / "whole"


def board(folder: Path) -> dict[str, Any]:
    """The leaderboard's row, as text, so that missing values compare equal."""
    return leaderboard([folder]).astype(str).to_dict("list")  # type: ignore[no-any-return]


READERS: dict[str, Callable[[Path], Any]] = {
    "load_manifest": load_manifest,
    "load_run": load_run,
    "load_summary": load_summary,
    "load_latency": load_latency,
    "load_incidents": load_incidents,
    "leaderboard": board,
}


def truncations(content: bytes, step: int = 1) -> Iterator[Damage]:
    for length in range(max(0, len(content) - TAIL_BYTES), len(content), step):
        yield f"cut to {length} of {len(content)} bytes", content[:length]


def flips(content: bytes, n: int, seed: int) -> Iterator[Damage]:
    for bit in np.random.default_rng(seed).integers(0, 8 * len(content), size=n).tolist():
        yield f"bit {bit} flipped", flipped(content, bit)


def is_right(reader: str, name: str, found: Any, truth: Any) -> bool:
    """Equality; of incidents, which are only ever appended to, the last one may have gone with a torn line."""
    if (reader, name) == ("load_incidents", "incidents.jsonl"):
        return bool(found == truth[: len(found)])
    return bool(found == truth)


def read_by_all(folder: Path, name: str, what: str, truths: dict[str, Any]) -> Counter[str]:
    """What the readers make of one damaged file; fails if one of them reads something else than the truth."""
    outcomes: Counter[str] = Counter()
    for reader, truth in truths.items():
        try:
            found = READERS[reader](folder)
        except HarnessError as error:
            assert name in str(error), f"{reader}, {name} {what}: {error}"
            outcomes["refused"] += 1
        else:
            assert is_right(reader, name, found, truth), f"{reader}, {name} {what}: another value"
            outcomes["right"] += 1
    return outcomes


def read_damaged(whole: Path, folder: Path, name: str, damages: Iterator[Damage]) -> Counter[str]:
    """Give a copy of a run one damage after the other."""
    shutil.copytree(whole, folder)
    truths = {reader: read(folder) for reader, read in READERS.items()}
    outcomes: Counter[str] = Counter()
    for what, content in damages:
        (folder / name).write_bytes(content)
        outcomes += read_by_all(folder, name, what, truths) + Counter(cases=1)
    print(f"\n{name}: {dict(outcomes)}")
    return outcomes


def go_on(whole: Path, folder: Path, name: str, what: str, content: bytes) -> str:
    """Evaluate in a damaged directory: the same bytes in the end, or a refusal that names the file and the way out."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(whole, folder)
    (folder / name).write_bytes(content)
    outcome = "recovered"
    try:
        play(folder)
    except CorruptFileError as error:
        outcome, text = "refused", str(error)
        assert name in text and ("--repair" in text or "--fresh" in text), f"{name} {what}: {text}"
        play(folder, **{"repair" if "--repair" in text else "fresh": True})
    for final in FINALS:
        assert (folder / final).read_bytes() == (whole / final).read_bytes(), f"{name} {what}: {final}"
    assert load_run(folder).summary == load_run(whole).summary
    load_latency(folder)
    return outcome


@pytest.mark.parametrize("name", FILES)
def test_a_damaged_file_is_never_read_as_another_number(whole: Path, tmp_path: Path, name: str) -> None:
    content = (whole / name).read_bytes()
    cut = read_damaged(whole, tmp_path / "cut", name, truncations(content, step=101))
    bent = read_damaged(whole, tmp_path / "bent", name, flips(content, 15, seed=0))
    assert bent["refused"] >= bent["cases"] or name == "incidents.jsonl"
    assert cut["refused"] > 0 or name == "incidents.jsonl"


@pytest.mark.parametrize("name", FILES)
def test_evaluating_in_a_damaged_directory_recovers_or_says_how(
    whole: Path, tmp_path: Path, name: str
) -> None:
    content = (whole / name).read_bytes()
    damages = [*truncations(content, step=1500), *flips(content, 3, seed=1)]
    outcomes = Counter(go_on(whole, tmp_path / "run", name, *damage) for damage in damages)
    if name == "manifest.json":
        assert set(outcomes) == {"refused"}
    elif name != "episodes.jsonl":
        assert set(outcomes) == {"recovered"}


def test_verify_refuses_a_damaged_run(whole: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    shutil.copytree(whole, folder)
    assert all(check.passed is not False for check in verify(folder, 1, 0))
    for name in ("manifest.json", *FINALS):
        content = (folder / name).read_bytes()
        for _, damaged in flips(content, 20, seed=2):
            (folder / name).write_bytes(damaged)
            with pytest.raises(CorruptFileError, match=name):
                verify(folder, 1, 0)
        (folder / name).write_bytes(content)


@pytest.mark.parametrize("lost_bytes", [1, 40, 200])
def test_what_goes_wrong_after_a_torn_incident_is_still_readable(
    whole: Path, tmp_path: Path, lost_bytes: int
) -> None:
    shutil.copytree(whole, tmp_path / "run")
    log = tmp_path / "run" / "incidents.jsonl"
    log.write_bytes(log.read_bytes()[:-lost_bytes])
    left, manifest = load_incidents(tmp_path / "run"), load_manifest(tmp_path / "run")
    assert manifest is not None
    new = Incident([1], 1, "simulator", "gone", "tried again")
    with RunDirectory.open(tmp_path / "run", manifest) as run:
        run.note(new)
    assert load_incidents(tmp_path / "run") == [*left, new]


@pytest.mark.slow
@pytest.mark.parametrize("name", FILES)
def test_every_cut_and_a_thousand_flips_are_never_read_as_another_number(
    whole: Path, tmp_path: Path, name: str
) -> None:
    content = (whole / name).read_bytes()
    cut = read_damaged(whole, tmp_path / "cut", name, truncations(content))
    bent = read_damaged(whole, tmp_path / "bent", name, flips(content, 1000, seed=3))
    assert cut["cases"] == min(len(content), TAIL_BYTES) and bent["cases"] == 1000


@pytest.mark.slow
@pytest.mark.parametrize("name", FILES)
def test_evaluating_after_every_sort_of_damage_gives_the_same_bytes(
    whole: Path, tmp_path: Path, name: str
) -> None:
    content = (whole / name).read_bytes()
    damages = [*truncations(content, step=97), *flips(content, 30, seed=4)]
    again = partial(go_on, whole, tmp_path / "run", name)
    outcomes = Counter(again(*damage) for damage in damages)
    print(f"\n{name}: {dict(outcomes)}")
    assert outcomes.total() == len(damages)
