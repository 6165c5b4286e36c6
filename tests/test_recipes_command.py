"""`harness collect` by recipe, `harness ls recipes` and `harness bench recipes`, as a user meets them."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from test_recipes import MIRROR, SOUND, write

from benchmarks import recipes as bench
from datasets import catalog, recipes
from datasets.formats.native import open_dataset
from env_adapters.errors import CorruptFileError, HarnessError, InvalidValueError, UnknownNameError
from harness import cli, made

PROJECT = Path(__file__).resolve().parents[1]


def harness(line: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "harness", *line.split()]
    environment = os.environ | {"PYTHONPATH": str(PROJECT)}
    return subprocess.run(
        command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=300, check=False
    )


def test_a_shipped_recipe_in_a_process_of_its_own(tmp_path: Path) -> None:
    answer = harness("collect --map 3m --quality good --transitions 400 --seed 5 --n-games 8", tmp_path)
    assert answer.returncode == 0, answer.stderr
    first, second, *_ = answer.stdout.splitlines()
    assert re.match(r"data/3m-good\.h5: 4\d\d transitions in \d+ episodes, return ", first)
    assert re.fullmatch(r"sha256 [0-9a-f]{64}", second), "nothing is recorded of this size"
    card = open_dataset(tmp_path / "data" / "3m-good.h5").card
    recipe = recipes.find("3m/good")
    assert (card.source, card.seed) == ("recipe/3m/good", 5)
    assert card.notes[1:] == recipe.notes and recipe.mirrors in card.notes[0]
    assert [b.act_mode for b in card.behaviours] == [part.acting for part in recipe.behaviours]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """A command in this process, with shipped recipes and record in a folder of the test."""
    folder = tmp_path / "recipes"
    folder.mkdir()
    monkeypatch.setattr(recipes, "FOLDER", folder)
    monkeypatch.chdir(tmp_path)
    write(folder)

    def run(line: str) -> str:
        assert cli.run(line.split()) == 0
        return capsys.readouterr().out

    return run


def test_the_sizes_of_a_recipe(here: Any, tmp_path: Path) -> None:
    write(recipes.FOLDER, MIRROR.replace("996_366", "450") + SOUND)
    for options, low in (
        ("", 300),
        (" --size default", 300),
        (" --size paper", 450),
        (" --transitions 50", 50),
    ):
        here(f"collect --map 3m --quality poor --n-games 4{options}")
        assert low <= open_dataset(tmp_path / "data" / "3m-poor.h5").card.n_transitions < low + 60


def test_files_and_names_give_the_same_data(here: Any, tmp_path: Path) -> None:
    here("collect --map 3m --quality poor --n-games 4 --out a.h5")
    path = write(tmp_path)
    here(f"collect --recipe {path} --n-games 4 --out b.h5")
    here("collect --map 3m --quality poor --layout smac-v1 --n-games 4 --out c.h5")
    named, file, layout = (open_dataset(tmp_path / f"{name}.h5").card for name in "abc")
    assert named.sha256 == file.sha256 and named == layout
    assert (named.source, file.source) == ("recipe/3m/poor", "recipe-file/3m/poor")


MISTAKES = [
    (2, "--quality poor", r"--map is missing"),
    (3, "--map 3m --quality bad", r"'bad' ships for map '3m'.*recipes: poor"),
    (3, "--map 3m --quality poor --layout smac-v1-omiga", r"in layout smac-v1-omiga \(shipped: none"),
    (3, "--recipe none.toml", r"no recipe file none\.toml"),
    (6, "--recipe R --map 3m", r"a recipe names its map"),
    (6, "--recipe R --quality poor", r"both name who plays"),
    (6, "--recipe R --agent random", r"both name who plays"),
    (6, "--recipe R --layout smac-v1-omiga", r"is of layout smac-v1$"),
    (6, "--recipe R --act-mode greedy", r"says how its behaviours act"),
    (6, "--recipe R --size paper", r"mirrors no dataset"),
    (6, "--recipe R --size paper --transitions 9", r"both say how much"),
    (6, "--map 3m --agent random --size paper", r"--size is for recipes"),
]


@pytest.mark.parametrize(("code", "line", "said"), MISTAKES)
def test_mistakes(here: Any, tmp_path: Path, code: int, line: str, said: str) -> None:
    line = line.replace("--recipe R", f"--recipe {write(tmp_path)}")
    with pytest.raises(HarnessError, match=said) as caught:
        here(f"collect {line}")
    assert caught.value.exit_code == code and "\n" not in str(caught.value)
    assert not (tmp_path / "data").exists()


def test_lists_show_recipes_and_behaviours(here: Any) -> None:
    listed = here("ls recipes")
    assert re.search(r"^3m/poor +smac-v1 +- +- +300 +- +2 +greedy, epsilon 0\.25, sample$", listed, re.M)
    assert "behaviour policies of recipes" in here("ls behaviours")
    next(recipes.FOLDER.iterdir()).unlink()
    assert here("ls recipes") == "no recipes ship\n"


def test_a_dataset_is_compared_with_the_recorded_one(here: Any) -> None:
    collect = "collect --map 3m --quality poor --n-games 4"
    assert re.search(r"^sha256 \w{64}$", here(collect), re.M), "nothing is recorded yet"
    table = json.loads(here("bench recipes --json --record"))
    (row,) = table["rows"]
    assert (row["recipe"], row["recorded"], row["verdict"]) == ("3m/poor", "-", "no reference")
    (kept,) = made.recorded().values()
    assert row["made"]["sha256"] == kept.sha256 and 0 < kept.coverage <= 1
    assert re.search(rf"^sha256 {kept.sha256} equals the recorded one$", here(collect), re.M)
    assert re.search(r"^sha256 \w{64}$", here(f"{collect} --seed 1"), re.M)
    assert json.loads(here("bench recipes --json"))["rows"][0]["recorded"] == "equal"
    made.record("3m/poor", replace(kept, sha256="0" * 64))
    assert "differs from the recorded one: another CPU" in here(collect)
    made.record("3m/poor", replace(kept, sha256="0" * 64, engine="embedded-sc2/1"))
    assert "differs from the recorded one, which is of engine embedded-sc2/1, this one of" in here(collect)
    (recipes.FOLDER / "made.json").write_text('{"3m/poor": {"engine": 1}}')
    with pytest.raises(CorruptFileError, match=r"made\.json is damaged"):
        made.recorded()


def test_the_benchmark_compares_with_what_is_published(here: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    write(recipes.FOLDER, MIRROR + SOUND)
    row = SimpleNamespace(return_mean=5.0, return_std=100.0, joint_saco=0.8)
    monkeypatch.setattr(catalog, "find", lambda name: SimpleNamespace(published=row, name=name))
    text = here("bench recipes --quick --only 3m/poor")
    assert re.search(r"^3m/poor +\S+ ± \S+ +5\.00 ± 100\.00 +\S+ +0\.80 +.*std -\d+%", text, re.M)
    assert "5.00 ± 100.00" in here("ls recipes")

    with pytest.raises(InvalidValueError, match="a dataset cut short is not recorded"):
        here("bench recipes --quick --record")
    assert not (recipes.FOLDER / "made.json").exists()
    assert bench.Config().only == ()


def test_names_of_recipes_say_how_to_make_them(here: Any, tmp_path: Path) -> None:
    write(recipes.FOLDER, SOUND)
    for line in ("datasets show recipe/3m/poor", "train --agent vgm2p --dataset recipe/3m/poor"):
        with pytest.raises(UnknownNameError, match=r"made here.*harness collect --map 3m --quality poor"):
            here(line)
    with pytest.raises(UnknownNameError, match="unknown recipe '3m/pooor': did you mean 3m/poor"):
        here("datasets show recipe/3m/pooor")
    here("collect --map 3m --quality Poor --out a.h5 --n-games 8")
    assert "no published figures" in here("datasets verify a.h5")


def test_verify_says_how_near_a_recipe_comes(here: Any) -> None:
    write(recipes.FOLDER, MIRROR + SOUND)
    here("collect --map 3m --quality poor --out a.h5 --n-games 8")
    said = here("datasets verify a.h5")
    assert re.search(
        r"recipe/3m/poor is made after og-marl/smac_v1/3m/Good: .*: mean -\d+%.* \(aim: mean within 10%", said
    )
    told = here("datasets describe a.h5")
    assert "beside the public dataset that it is made after" in told and "  transitions" not in told


@pytest.mark.parametrize(
    ("mean", "std", "said"),
    [
        (10.0, 5.0, "ok"),
        (10.99, 6.49, "ok"),
        (9.01, 3.51, "ok"),
        (11.1, 5.0, "mean +11%"),
        (10.0, 3.4, "std -32%"),
        (8.0, 7.0, "mean -20%, std +40%"),
        (float("nan"), 5.0, "mean +nan%"),
    ],
)
def test_verdicts(mean: float, std: float, said: str) -> None:
    assert made.verdict(mean, std, 10.0, 5.0) == said


def test_verdicts_about_nothing_and_losses() -> None:
    assert made.verdict(20.0, 0.1, 20.0, 0.0) == "std 0.10 instead of 0"
    assert (
        made.verdict(-95.0, 5.0, -100.0, 5.0) == "ok" and made.verdict(-80.0, 5.0, -100.0, 5.0) == "mean +20%"
    )
