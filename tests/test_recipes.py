"""Recipes: read strictly, found by name, and a dataset is a function of its recipe and nothing else."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from datasets import recipes
from datasets.formats.native import open_dataset
from datasets.recipes import Recipe
from env_adapters import scenarios
from env_adapters.errors import CorruptFileError, HarnessError, MismatchError, UnknownNameError
from harness import made as made_record
from harness.recipes import make, team

HASH = "eec8480197bc113105290c368b5cc7c69244f6e44017d62e744255caaa7ab264"
SOUND = f"""scenario = "3m-v1"
layout = "smac-v1"
transitions = 300
seed = 3
notes = ["A sentence."]

[[behaviours]]
checkpoint = "3m--ppo-good"
weights = "{HASH}"
share = 0.6
act_mode = "greedy"
epsilon = 0.25

[[behaviours]]
checkpoint = "random"
share = 0.4
act_mode = "sample"
"""
MIRROR = 'mirrors = "og-marl/smac_v1/3m/Good"\npaper_transitions = 996_366\n'
ROBOT = """scenario = "6halfcheetah-v1"
layout = "mamujoco-omiga-v2"
transitions = 300
seed = 0
[[behaviours]]
checkpoint = "random"
share = 1
act_mode = "sample"
sigma = 0.5
"""


def write(folder: Path, text: str = SOUND, name: str = "3m--poor.toml") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_a_recipe_is_read_as_written(tmp_path: Path) -> None:
    recipe = recipes.load(write(tmp_path, MIRROR + SOUND))
    assert (recipe.name, recipe.map, recipe.quality) == ("3m/poor", "3m", "poor")
    assert (recipe.scenario, recipe.layout, recipe.transitions, recipe.seed) == ("3m-v1", "smac-v1", 300, 3)
    assert (recipe.mirrors, recipe.paper_transitions) == ("og-marl/smac_v1/3m/Good", 996_366)
    assert recipe.notes == ("A sentence.",)
    first, second = recipe.behaviours
    assert (first.checkpoint, first.weights, first.share) == ("3m--ppo-good", HASH, 0.6)
    assert (first.acting, second.acting) == ("greedy, epsilon 0.25", "sample")
    (part,) = recipes.load(write(tmp_path, ROBOT, "6halfcheetah--expert.toml")).behaviours
    assert (part.share, part.acting) == (1.0, "sample, sigma 0.5")


DAMAGED: list[tuple[int, str, str, str]] = [
    (5, 'seed = 3', 'seed = = 3', r"is not readable TOML: Invalid value \(at line 4"),
    (5, 'seed = 3', 'seed = 3\nseed = 4', r"is not readable TOML: Cannot overwrite"),
    (6, 'seed = 3\n', '', r"'seed' is missing$"),
    (6, 'seed = 3', 'sed = 3', r"'sed' is unknown; known: scenario, layout, transitions, seed"),
    (6, 'seed = 3', 'seed = "3"', r"'seed' is '3'; give a whole number$"),
    (6, 'seed = 3', 'seed = true', r"'seed' is True; give a whole number$"),
    (6, 'seed = 3', 'seed = -1', r"'seed' is -1; give at least 0$"),
    (6, 'transitions = 300', 'transitions = 0', r"'transitions' is 0; give at least 1$"),
    (6, 'transitions = 300', 'transitions = 3e5', r"'transitions' is 300000\.0; give a whole number$"),
    (6, 'seed = 3', 'seed = 3\nmirrors = "og-marl/smac_v1/3m/Good"', r"'paper_transitions' is missing; .* go together$"),
    (3, 'seed = 3', 'seed = 3\nmirrors = "og-marl/smac_v1/3n/Good"\npaper_transitions = 9', r"'mirrors': unknown dataset"),
    (6, 'seed = 3', 'seed = 3\npaper_transitions = 9', r"'mirrors' is missing; .* go together$"),
    (6, '["A sentence."]', '[1]', r"'notes' is not a list of sentences$"),
    (6, '["A sentence."]', '"A sentence."', r"'notes' is 'A sentence\.'; give a list$"),
    (3, '"3m-v1"', '"3n-v1"', r"'scenario': unknown map '3n-v1': known"),
    (6, '"3m-v1"', '"3m"', r"'scenario' is '3m'; give the versioned id, '3m-v1'$"),
    (6, '"3m-v1"', '"8m-v1"', r"'scenario' is of 8m; name the file one of: 8m--good\.toml, "),
    (3, '"smac-v1"', '"smac-v9"', r"'layout': map '3m' cannot be played in layout 'smac-v9'"),
    (6, 'share = 0.6', 'share = 0.7', r"'behaviours\.share' adds up to 1\.1; make the shares sum to 1$"),
    (6, 'share = 0.6', 'share = 0', r"'behaviours\[0\]\.share' is 0; give a number above 0, at most 1$"),
    (6, 'share = 0.4', 'share = nan', r"'behaviours\[1\]\.share' is nan; give a number$"),
    (6, 'share = 0.4\n', '', r"'behaviours\[1\]\.share' is missing$"),
    (6, 'share = 0.4', 'share = 0.4\nshares = 1', r"'behaviours\[1\]\.shares' is unknown; known: checkpoint, "),
    (6, 'epsilon = 0.25', 'epsilon = 1.5', r"'behaviours\[0\]\.epsilon' is 1\.5; give a probability from 0 to 1$"),
    (6, 'epsilon = 0.25', 'sigma = 0.2', r"'behaviours\[0\]\.sigma' is for continuous actions; give epsilon$"),
    (6, '"greedy"', '"best"', r"'behaviours\[0\]\.act_mode' is 'best'; give greedy or sample$"),
    (6, f'weights = "{HASH}"\n', '', r"'behaviours\[0\]\.weights' is missing; give the hash of '3m--ppo-good'$"),
    (6, HASH, HASH[1:], r"'behaviours\[0\]\.weights' is no sha256 of 64 hexadecimal digits"),
    (6, '"random"', f'"random"\nweights = "{HASH}"', r"'behaviours\[1\]\.weights' is given for control 'random'"),
    (6, SOUND[SOUND.index("[[") :], 'behaviours = []', r"'behaviours' is unknown|'behaviours' is empty; give at least"),
    (6, SOUND[SOUND.index("[[") :], '[behaviours]\na = 1', r"'behaviours' is \{'a': 1\}; give a list$"),
    (6, SOUND[SOUND.index("[[") :], 'behaviours = [3]', r"'behaviours\[0\]' is not a table of keys and values$"),
]  # fmt: skip


@pytest.mark.parametrize(("code", "sound", "damaged", "said"), DAMAGED)
def test_damage_is_one_line_with_file_and_key(
    tmp_path: Path, code: int, sound: str, damaged: str, said: str
) -> None:
    assert sound in SOUND
    path = write(tmp_path, SOUND.replace(sound, damaged, 1))
    with pytest.raises(HarnessError, match=said) as caught:
        recipes.load(path)
    text = str(caught.value)
    assert caught.value.exit_code == code and str(path) in text and "\n" not in text


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("sigma = -0.1", r"'behaviours\[0\]\.sigma' is -0\.1; give a standard deviation of at least 0"),
        ("epsilon = 0.1", r"'behaviours\[0\]\.epsilon' is for discrete actions; give sigma"),
        ("sigma = inf", r"'behaviours\[0\]\.sigma' is inf; give a number"),
    ],
)
def test_noise_that_robots_cannot_have(tmp_path: Path, change: str, said: str) -> None:
    path = write(tmp_path, ROBOT.replace("sigma = 0.5", change), "6halfcheetah--expert.toml")
    with pytest.raises(HarnessError, match=said):
        recipes.load(path)


def test_files_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="there is no recipe file"):
        recipes.load(tmp_path / "3m--good.toml")
    (tmp_path / "3m--good.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(CorruptFileError, match="not readable TOML"):
        recipes.load(tmp_path / "3m--good.toml")
    with pytest.raises(UnknownNameError, match=r"unknown recipe '3m/god': did you mean 3m/good"):
        recipes.find("3m/god")


@pytest.mark.parametrize("name", recipes.names())
def test_every_shipped_recipe_is_sound(name: str) -> None:
    recipe = recipes.find(name)
    assert recipe.name == name and recipe.source == f"recipe/{name}" and recipe.mirrors
    world = scenarios.find(recipe.scenario)
    if world.extra is not None:
        pytest.importorskip("gymnasium_robotics")
    with scenarios.make_vector(world.name, 1, layout=recipe.layout) as env:
        for part in recipe.behaviours:
            assert part.act_mode in team(recipe, part, env.spec).agent.act_modes
    assert all(re.fullmatch(r"[A-Z].*\.", note) for note in recipe.notes)


def test_other_weights_than_the_recipe_says(tmp_path: Path) -> None:
    recipe = recipes.load(write(tmp_path, SOUND.replace(HASH, HASH.replace("e", "f"))))
    with pytest.raises(MismatchError, match=r"weights of '3m--ppo-good' are ffc8.*, the file has eec8"):
        make(recipe, tmp_path / "data.h5", 50, 0, 2, print)
    assert not (tmp_path / "data.h5").exists()


@pytest.fixture
def made(tmp_path: Path) -> Callable[..., tuple[str, bytes]]:
    """Make a dataset of the sound recipe and return its sha256 and file."""

    def run(n_games: int, text: str = SOUND, transitions: int = 300, seed: int = 3) -> tuple[str, bytes]:
        recipe: Recipe = recipes.load(write(tmp_path, text))
        card = make(recipe, tmp_path / "data.h5", transitions, seed, n_games, print)
        return card.sha256, (tmp_path / "data.h5").read_bytes()

    return run


def test_a_dataset_is_a_function_of_its_recipe(
    made: Callable[..., tuple[str, bytes]], tmp_path: Path
) -> None:
    first = made(16)
    assert made(1) == first and made(64) == first and made(16) == first
    card = open_dataset(tmp_path / "data.h5").card
    assert (card.source, card.notes, card.seed) == ("recipe-file/3m/poor", ("A sentence.",), 3)
    ours, control = card.behaviours
    assert (ours.name, ours.weights_hash, ours.act_mode) == ("3m--ppo-good", HASH, "greedy, epsilon 0.25")
    assert (control.name, control.act_mode) == ("random", "sample") and len(control.weights_hash) == 64
    others = [
        made(16, seed=4),
        made(16, transitions=400),
        made(16, SOUND.replace("epsilon = 0.25", "epsilon = 0.26")),
        made(16, SOUND.replace('act_mode = "greedy"', 'act_mode = "sample"')),
        made(16, SOUND.replace("share = 0.6", "share = 0.5").replace("share = 0.4", "share = 0.5")),
    ]
    assert len({first[0], *(sha256 for sha256, _ in others)}) == 6


def test_noise_that_looks_at_the_batch_is_noticed(
    made: Callable[..., tuple[str, bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    from datasets.noise import NoisyTeam

    begin = NoisyTeam.begin

    def planted(self: NoisyTeam, episode_seeds: object, games: object) -> None:
        begin(self, episode_seeds, games)  # type: ignore[arg-type]
        self._keys[:, 0, 0] += np.arange(len(self._keys), dtype=np.uint64)

    monkeypatch.setattr(NoisyTeam, "begin", planted)
    assert made(1)[0] != made(16)[0]


def test_shares_are_of_the_transitions(tmp_path: Path) -> None:
    recipe = recipes.load(write(tmp_path))
    card = make(recipe, tmp_path / "data.h5", 1000, 0, 16, print)
    dataset = open_dataset(tmp_path / "data.h5")
    border = int(dataset.episode_offsets[card.behaviours[0].n_episodes])
    longest = 60
    assert 600 <= border < 600 + longest and 400 <= dataset.n_transitions - border < 400 + longest


def test_mirrors_are_named_on_the_card(tmp_path: Path) -> None:
    recipe = replace(recipes.load(write(tmp_path)), mirrors="og-marl/smac_v1/3m/Good")
    card = make(recipe, tmp_path / "data.h5", 20, 0, 1, print)
    assert card.notes == (
        "Made after the statistics of og-marl/smac_v1/3m/Good; not its data.",
        "A sentence.",
    )


@pytest.mark.parametrize("name", recipes.names())
def test_what_a_shipped_recipe_gives_is_recorded_and_its_misses_are_on_the_card(name: str) -> None:
    recipe, got = recipes.find(name), made_record.recorded()[name]
    assert got.recipe_hash == recipe.content_hash, (
        "record it anew: harness bench recipes --record --only NAME"
    )
    assert (got.transitions, got.seed) == (recipe.transitions, recipe.seed)
    told = made_record.published(recipe)
    assert told is not None
    aims = made_record.verdict(got.return_mean, got.return_std, told.return_mean, told.return_std)
    is_near = aims == "ok" and abs(got.coverage - told.joint_saco) <= 0.1
    assert is_near or recipe.notes, f"{aims}, coverage {got.coverage:.2f}: say why in the notes"
    assert "mean" not in aims
