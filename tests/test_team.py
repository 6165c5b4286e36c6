"""Who plays: a shipped checkpoint, a file, or a control; and what is said where there is none."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from agents import zoo
from agents.bc import BcConfig
from agents.checkpoints import initial, save_checkpoint
from agents.vgm2p import Vgm2pConfig
from datasets import recipes
from datasets.formats.native import open_dataset
from env_adapters import scenarios
from env_adapters.api import TeamSpec
from env_adapters.errors import InvalidValueError, MismatchError, UnknownNameError
from harness import cli
from harness.team import TeamSource, choose_team, load_team


@pytest.fixture(scope="module")
def spec() -> TeamSpec:
    with scenarios.make_vector("3m", 1) as env:
        return env.spec


@pytest.fixture
def shipped(tmp_path: Path, spec: TeamSpec, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Ship untrained checkpoints, by MAP--NAME, instead of the real ones."""
    monkeypatch.setattr(zoo, "FOLDER", tmp_path)

    def ship(*stems: str) -> None:
        for stem in stems:
            kind = "vgm2p" if "vgm2p" in stem else "bc-meanflow"
            settings = (Vgm2pConfig if kind == "vgm2p" else BcConfig)(hidden=(4,))
            team = initial(kind, settings, spec, 0)
            save_checkpoint(tmp_path / f"{stem}.safetensors", team.agent, team.params, {"stem": stem})

    return ship


def test_the_default_team_is_vgm2p_or_else_the_first_of_the_map(
    shipped: Callable[..., None], spec: TeamSpec
) -> None:
    shipped("3m--bc-meanflow-b", "3m--bc-meanflow-a", "8m--vgm2p")
    assert choose_team("3m", spec, None, None).provenance == {"stem": "3m--bc-meanflow-a"}
    shipped("3m--vgm2p")
    assert choose_team("3m", spec, None, None).provenance == {"stem": "3m--vgm2p"}
    assert choose_team("3m", spec, "bc-meanflow-b", None).provenance == {"stem": "3m--bc-meanflow-b"}
    assert [entry.name for entry in zoo.entries("3m")] == ["bc-meanflow-a", "bc-meanflow-b", "vgm2p"]
    assert len(zoo.entries()) == 4


def test_a_checkpoint_file_plays_where_it_fits(
    shipped: Callable[..., None], spec: TeamSpec, tmp_path: Path
) -> None:
    shipped("3m--vgm2p")
    file = tmp_path / "3m--vgm2p.safetensors"
    assert choose_team("3m", spec, None, file).path == file
    with pytest.raises(MismatchError, match=r"3m-v1.*8m-v1"):
        choose_team("8m", replace(spec, scenario="8m-v1"), None, file)


@pytest.mark.parametrize(
    ("preset", "name"),
    [("vgm2p-null", "vgm2p-null"), (None, "vgm2p"), ("mac-flow-released", "vgm2p"), ("champion", "vgm2p")],
)
def test_tables_name_the_preset_that_a_training_started_from(
    spec: TeamSpec, tmp_path: Path, preset: str | None, name: str
) -> None:
    """A name that is none of the agent's presets is no name to show."""
    team = initial("vgm2p", Vgm2pConfig(hidden=(4,)), spec, 0)
    save_checkpoint(tmp_path / "x.safetensors", team.agent, team.params, {"preset": preset})
    found = load_team("3m", spec, TeamSource(None, str(tmp_path / "x.safetensors")))
    assert (found.name, found.algorithm) == (name, "vgm2p")


@pytest.mark.parametrize(
    ("agent", "words"),
    [
        (None, r"no checkpoint ships for map '5m_vs_6m'.*--checkpoint.*--agent random"),
        ("vgm2p", r"no trained 'vgm2p' ships for map '5m_vs_6m' \(shipped: none\).*--checkpoint"),
        ("ppo-good", r"no trained 'ppo-good' ships for map '5m_vs_6m'"),
        ("vgm2", r"unknown agent 'vgm2': did you mean vgm2p"),
    ],
)
def test_a_team_that_is_not_there_says_what_to_do(
    shipped: Callable[..., None], spec: TeamSpec, agent: str | None, words: str
) -> None:
    shipped("3m--vgm2p", "3m--ppo-good")
    with pytest.raises(UnknownNameError, match=words):
        choose_team("5m_vs_6m", spec, agent, None)


def test_controls_need_no_file_and_two_answers_are_one_too_many(spec: TeamSpec, tmp_path: Path) -> None:
    assert choose_team("3m", spec, "nearest", None).agent.name == "nearest"
    with pytest.raises(MismatchError, match="nearest"):
        choose_team("walker", replace(spec, layout="joints"), "nearest", None)
    with pytest.raises(InvalidValueError, match="not both"):
        choose_team("3m", spec, "nearest", tmp_path / "a.safetensors")
    with pytest.raises(UnknownNameError, match=r"none\.safetensors"):
        choose_team("3m", spec, None, tmp_path / "none.safetensors")


def test_collect_plays_shipped_policies_or_files(
    shipped: Callable[..., None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(recipes, "FOLDER", tmp_path)  # a recipe of that quality would play instead
    shipped("3m--ppo-expert", "3m--ppo-medium", "3m--vgm2p")
    short = ["collect", "--map", "3m", "--transitions", "2", "--n-games", "1"]
    for options, name, agents in (
        ([], "3m-expert.h5", ["bc-meanflow"]),
        (["--quality", "medium"], "3m-medium.h5", ["bc-meanflow"]),
        (["--agent", "vgm2p"], "3m-vgm2p.h5", ["vgm2p"]),
        (
            ["--checkpoint", "3m--vgm2p.safetensors", "3m--ppo-expert.safetensors"],
            "3m-custom.h5",
            ["vgm2p", "bc-meanflow"],
        ),
    ):
        assert cli.run([*short, *options]) == 0
        card = open_dataset(tmp_path / "data" / name).card
        assert [behaviour.name for behaviour in card.behaviours] == agents
    assert cli.run([*short, "--checkpoint", "3m--vgm2p.safetensors", "--out", "again.h5"]) == 0
    first, again = (open_dataset(Path(name)).card for name in ("data/3m-vgm2p.h5", "again.h5"))
    assert first == again, "the same weights by name or by file give the same dataset"
