"""Studies: what is read from their file, which commands they run, what they conclude, and the real command."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import fields
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from descendants import marked

from agents import registry
from agents.training_options import TrainConfig
from env_adapters.errors import (
    CorruptFileError,
    HarnessError,
    InvalidValueError,
    MissingExtraError,
    UnknownNameError,
)
from harness.commands.study import main
from harness.study import cells, claims, nearness, report, spec
from harness.study.scores import Scores, score

PROJECT = Path(__file__).resolve().parents[1]
FILE = """
[scales.tiny]
steps = { starcraft = 10, mujoco = 20 }
seeds = 2
evaluations = 2
episodes = 2
transitions = 500
options = { hidden = [8], learning_rate = { starcraft = 0.01, mujoco = 0.02 } }
[variants.clone]
agent = "bc-meanflow"
label = "cloning"
[variants.wild]
agent = "vgm2p"
label = "diverges"
options = { guidance = 1e9 }
tiny = { hidden = [4, 4] }
[variants.plain]
agent = "bc-gaussian"
label = "for robots"
[studies.two]
title = "Two of them"
datasets = ["3m/good"]
variants = ["clone", "wild"]
[[studies.two.claims]]
text = "cloning is at least as good"
ours = "clone"
theirs = ["wild"]
[studies.robots]
title = "On robots too"
datasets = ["3m/good", "6halfcheetah/medium"]
variants = ["clone", "plain"]
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "studies.toml"
    path.write_text(FILE)
    return path


def unknown_options(cell: spec.Cell) -> set[str]:
    """Options of a variant that `harness train` does not have for its agent."""
    known = {
        field.name
        for kind in (TrainConfig, type(registry.default_config(cell.variant.agent)))
        for field in fields(kind)
    }
    return {*(cell.variant.options or {}), *(cell.variant.by_scale or {}).get(cell.scale.name, {})} - known


@pytest.mark.parametrize("scale", ["quick", "cpu", "paper"])
def test_every_shipped_study_is_made_of_what_exists(scale: str) -> None:
    assert spec.names() == ["fig1", "fig2", "fig3", "fig4", "generative"]
    for name in spec.names():
        study = spec.load(name, scale)
        known = {variant.name for variant in study.variants}
        assert study.cells() and set(study.support) <= known
        for cell in study.cells():
            kind = registry.find(cell.variant.agent).actions
            assert kind in ("both", "discrete" if cell.kind == "starcraft" else "continuous")
            assert not unknown_options(cell)
        for claim in study.claims:
            assert {claim["ours"], *claim["theirs"]} <= known
            assert set(claim.get("datasets", ())) <= set(study.datasets)


@pytest.mark.parametrize(
    ("before", "after", "kind", "words"),
    [
        ("[studies.two]", "studies.two]", CorruptFileError, "not readable TOML"),
        ('title = "Two of them"\n', "", InvalidValueError, "'title' is missing"),
        ('label = "cloning"', 'labels = "x"', InvalidValueError, "unknown key 'labels'"),
        ('variants = ["clone", "wild"]', 'variants = ["clones"]', UnknownNameError, "clone"),
        ('datasets = ["3m/good"]', 'datasets = ["3n/good"]', UnknownNameError, "3m"),
        ("seeds = 2\n", "seeds = 2\nseed = 3\n", InvalidValueError, "unknown key 'seed'"),
        ('title = "Two of them"', 'title = "x"\nfigure = "pie"', InvalidValueError, "curves, times"),
    ],
)
def test_a_file_of_studies_is_read_strictly(
    file: Path, before: str, after: str, kind: type[HarnessError], words: str
) -> None:
    assert before in FILE
    file.write_text(FILE.replace(before, after, 1))
    with pytest.raises(kind, match=words):
        spec.load("two", "tiny", file)


def test_a_command_line_has_the_options_of_scale_and_variant_that_its_agent_knows(
    file: Path, tmp_path: Path
) -> None:
    found = {
        (cell.dataset, cell.variant.name): " ".join(cells.train_command(cell, tmp_path, "cpu"))
        for study in ("two", "robots")
        for cell in spec.load(study, "tiny", file).cells()
    }
    assert ("3m/good", "plain") not in found  # continuous actions only
    assert "--steps 10 " in found["3m/good", "clone"] and "--learning-rate 0.01" in found["3m/good", "clone"]
    assert "--steps 20 " in found["6halfcheetah/medium", "clone"]
    assert "--learning-rate 0.02" in found["6halfcheetah/medium", "plain"]
    wild = found["3m/good", "wild"]
    assert "--agent vgm2p " in wild and "--guidance 1000000000.0" in wild and "--hidden 4 4" in wild
    assert "--hidden 8 " in found["3m/good", "clone"]


def made(out: Path, study: spec.Study, variant: str, returns: list[float | None]) -> None:
    """A finished cell; None for a seed that diverged."""
    cell = next(cell for cell in study.cells() if cell.variant.name == variant)
    for seed, value in enumerate(returns):
        place = cells.folder(cell, out) / f"seed-{seed}"
        place.mkdir(parents=True)
        lines = ["step,return,stopped,win_rate", f"5,{value or 3.0},,0.0"]
        lines.append("7,,loss is nan," if value is None else f"10,{value},,0.5")
        (place / "curve.csv").write_text("\n".join(lines) + "\n")
        (place / "checkpoint.safetensors").touch()
    cells.write_outcome(cells.outcome_path(cell, out), 0)
    cells.add_time(cells.time_path(cell, out), 1.5)


def place(out: Path, variant: str) -> Path:
    """The folder of a cell of the study `two`."""
    (found,) = (out / "tiny" / "3m--good").glob(f"{variant}-*")
    return found


def scored(file: Path, out: Path, ours: list[float | None], theirs: list[float | None]) -> Scores:
    file.write_text(FILE.replace("seeds = 2", f"seeds = {len(ours)}"))
    study = spec.load("two", "tiny", file)
    made(out, study, "clone", ours)
    made(out, study, "wild", theirs)
    return score(study, out)


@pytest.mark.parametrize(
    ("ours", "theirs", "at_least", "same"),
    [
        ([15.0, 15.1, 14.9], [10.0, 10.1, 9.9], "holds: better", "does not hold: better"),
        ([10.0, 10.1, 9.9], [15.0, 15.1, 14.9], "does not hold: worse", "does not hold: worse"),
        ([10.0, 10.1, 9.9], [10.0, 10.1, 9.9], "holds: not worse by 5 points", "holds: within 5 points"),
        ([10.0, 18.0, 3.0], [9.0, 1.0, 17.0], "undecided", "undecided"),
        ([None, None, 15.0], [9.9, 10.0, 10.1], "undecided", "undecided"),
        ([None, None, None], [9.9, 10.0, 10.1], "does not hold: worse", "does not hold: worse"),
        ([15.0, 15.0], [10.0, 10.0], "undecided: seeds do not vary", "undecided: seeds do not vary"),
    ],
)
def test_verdicts(
    file: Path, tmp_path: Path, ours: list[float | None], theirs: list[float | None], at_least: str, same: str
) -> None:
    scores = scored(file, tmp_path, ours, theirs)
    claim = {"text": "a claim", "ours": "clone", "theirs": ["wild"]}
    (finding,) = claims.test(scores, [claim])
    assert finding.verdict == at_least
    (finding,) = claims.test(scores, [claim | {"same": True}])
    assert finding.verdict == same
    random, won = 1.374, 20.0  # of 3m, in references.json
    means = [
        np.mean([0.0 if x is None else (x - random) / (won - random) for x in side])
        for side in (ours, theirs)
    ]
    assert finding.difference == pytest.approx(100 * (means[0] - means[1]), abs=0.5)


def test_datasets_are_put_together_by_seed(file: Path, tmp_path: Path) -> None:
    """A difference that has the same size and another sign on two datasets is none, however sure each of them is."""
    text = FILE.replace('datasets = ["3m/good"]', 'datasets = ["3m/good", "3m/poor"]').replace(
        "seeds = 2", "seeds = 3"
    )
    file.write_text(text)
    study = spec.load("two", "tiny", file)
    for dataset, ours, theirs in (("3m/good", 15.0, 5.0), ("3m/poor", 5.0, 15.0)):
        part = study.only((dataset,), ())
        made(tmp_path, part, "clone", [ours, ours + 0.1, ours - 0.1])
        made(tmp_path, part, "wild", [theirs, theirs + 0.1, theirs - 0.1])
    verdicts = {f.dataset: f.verdict for f in claims.test(score(study, tmp_path), study.claims)}
    assert verdicts == {
        "3m/good": "holds: better", "3m/poor": "does not hold: worse", "all together": "holds: not worse by 5 points",
    }  # fmt: skip


def test_a_claim_with_an_unknown_key_is_refused(file: Path, tmp_path: Path) -> None:
    scores = scored(file, tmp_path, [1.0, 2.0], [1.0, 2.0])
    with pytest.raises(InvalidValueError, match="margin"):
        claims.test(scores, [{"text": "x", "ours": "clone", "theirs": [], "margin": 3}])


def test_tables_name_what_diverged_and_leave_open_what_is_missing(file: Path, tmp_path: Path) -> None:
    scores = scored(file, tmp_path, [10.0, 12.0, None], [None, None, None])
    datasets = scores.study.datasets
    assert report.table(scores, report.returns, datasets) == [
        ["variant", "3m/good"],
        ["cloning", "11.0 ± 12.7, 1 diverged"],
        ["diverges", "3 diverged"],
    ]
    assert report.table(scores, report.win_rates, datasets)[1] == ["cloning", "50.0, 1 diverged"]
    frame = report.frame(scores)
    assert frame["stopped"].notna().sum() == 4 and set(frame["variant"]) == {"clone", "wild"}
    (place(tmp_path, "wild") / "outcome.json").unlink()
    assert len(report.table(score(scores.study, tmp_path), report.returns, datasets)) == 2


def test_distances_to_the_data_and_times_come_into_the_report(file: Path, tmp_path: Path) -> None:
    text = FILE.replace('title = "Two of them"', 'title = "x"\nfigure = "times"\nsupport = ["clone"]')
    file.write_text(text)
    study = spec.load("two", "tiny", file)
    made(tmp_path, study, "clone", [10.0, 12.0])
    made(tmp_path, study, "wild", [None, 12.0])
    near = {
        "to_data": {"single": {"mean": 1.0}, "joint": {"mean": 2.5}},
        "observation_to_data": {"single": None, "joint": {"mean": 1.0}},
        "to_independent": {"single": None, "joint": {"mean": 0.5}},
    }
    far = near | {"to_data": {"single": {"mean": 2.0}, "joint": {"mean": 3.5}}}
    reports = {"0": {"places": {"data": near, "play": far}}, "1": {"places": {"data": far, "play": far}}}
    (place(tmp_path, "clone") / "support.json").write_text(json.dumps(reports))
    folder = tmp_path / "reports"
    page = report.write(score(study, tmp_path), tmp_path, folder).read_text()
    assert "| cloning | 0.01 (1.00) |" in page and "| diverges | 0.01 (1.00) |" in page
    assert "| cloning | 1.50 / 3.00 |" in page and "| cloning | 2.00 / 3.50 |" in page
    for name in ("times.png", "support-data.png", "support-play.png"):
        assert name in page and (folder / name).read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    points = nearness.points(score(study, tmp_path), tmp_path, "data")
    assert [(x, round(y)) for _, _, x, y in points] == [(2.5, 46), (3.5, 57)]


def test_damaged_distances_are_named(file: Path, tmp_path: Path) -> None:
    scores = scored(file, tmp_path, [10.0, 12.0], [1.0, 2.0])
    path = place(tmp_path, "clone") / "support.json"
    path.write_text('{"0": {}}')
    with pytest.raises(CorruptFileError, match=r"support\.json is damaged"):
        nearness.table(scores, tmp_path, "data")


def test_a_damaged_curve_is_named(file: Path, tmp_path: Path) -> None:
    scores = scored(file, tmp_path, [10.0, 12.0], [1.0, 2.0])
    curve = place(tmp_path, "clone") / "seed-1" / "curve.csv"
    for text in ("step,return\nten,4\n", "step,return,win_rate\n"):
        curve.write_text(text)
        with pytest.raises(CorruptFileError, match=r"seed-1/curve\.csv"):
            score(scores.study, tmp_path)


def test_a_missing_package_is_missed_before_anything_is_trained(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(MissingExtraError, match="plot"):
        main(command(file, "two")[4:])
    assert not (file.parent / "out").exists()


def command(file: Path, *words: str) -> list[str]:
    options = ["--file", str(file), "--scale", "tiny", "--out", str(file.parent / "out"), "--device", "cpu"]
    return [sys.executable, "-m", "harness", "study", *words, *options]


def run(file: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(file, *words), cwd=PROJECT, capture_output=True, text=True, timeout=240, check=False
    )


def test_the_command_makes_what_is_missing_and_nothing_twice(file: Path) -> None:
    first = run(file, "two")
    assert first.returncode == 0, first.stderr
    assert "cloning" in first.stdout and "2 diverged" in first.stdout
    folder = file.parent / "out"
    page = (folder / "reports" / "two-tiny" / "report.md").read_text()
    assert (
        "cloning is at least as good" in page
        and (folder / "reports" / "two-tiny" / "curves.png").stat().st_size
    )
    table = pd.read_csv(folder / "reports" / "two-tiny" / "results.csv")
    assert (
        len(table[table.variant == "clone"]) == 4 and table[table.variant == "wild"]["stopped"].notna().all()
    )
    wild = place(folder, "wild")
    assert json.loads((wild / "outcome.json").read_text()) == {"exit_code": cells.DIVERGED}
    assert float((wild / "cpu_s.txt").read_text()) > 0
    before = {path: path.stat().st_mtime_ns for path in (folder / "tiny").rglob("*") if path.is_file()}
    again = run(file, "two")
    assert again.returncode == 0 and "of 2" not in again.stderr and again.stdout == first.stdout
    assert before == {path: path.stat().st_mtime_ns for path in before}
    (place(folder, "clone") / "seed-1" / "checkpoint.safetensors").unlink()
    file.write_text(FILE.replace("hidden = [4, 4]", "hidden = [4]"))
    third = run(file, "two")
    assert "1 of 2: clone" in third.stderr and "2 of 2: wild" in third.stderr
    assert third.returncode == 0 and len(list((folder / "tiny" / "3m--good").glob("wild-*"))) == 2


def test_a_signal_to_the_whole_group_saves_and_the_study_continues(file: Path) -> None:
    """As `timeout` and Slurm send it."""
    file.write_text(
        FILE.replace("starcraft = 10", "starcraft = 100_000").replace("evaluations = 2", "evaluations = 5000")
    )
    line = command(file, "two", "--variants", "clone")
    process = subprocess.Popen(
        line, cwd=PROJECT, stderr=subprocess.PIPE, text=True, process_group=0,
        env=os.environ | {"STUDY_MARK": str(file.parent)},
    )  # fmt: skip
    pattern = "out/tiny/3m--good/clone-*/seed-0/curve.csv"
    limit = time.monotonic() + 120
    while not list(file.parent.glob(pattern)) and time.monotonic() < limit:
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGTERM)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 143 and "the same command continues" in said
    limit = time.monotonic() + 20.0
    while marked(str(file.parent)) and time.monotonic() < limit:
        time.sleep(0.02)
    assert not marked(str(file.parent))
    folder = place(file.parent / "out", "clone")
    assert "is saved" in (folder / "train.log").read_text() and (folder / "training.safetensors").exists()
    assert not (folder / "outcome.json").exists() and float((folder / "cpu_s.txt").read_text()) > 0


def test_what_fails_is_named_with_its_log_and_the_rest_is_made(file: Path) -> None:
    file.write_text(FILE.replace("guidance = 1e9", "guidances = 1"))
    ended = run(file, "two")
    assert ended.returncode != 0
    last = ended.stderr.strip().splitlines()[-1]
    assert "wild on 3m/good" in last and "train.log" in last and "guidances" in last
    assert (place(file.parent / "out", "clone") / "outcome.json").exists()
    assert (file.parent / "out" / "reports" / "two-tiny" / "report.md").exists()
