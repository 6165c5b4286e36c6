"""`datasets describe` through its own entry: text, JSON, picture, and published numbers beside ours."""

from __future__ import annotations

import builtins
import dataclasses
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from recorded import make_episode, write
from test_format_hdf5 import cfcql, save

from datasets.formats.native import open_dataset
from env_adapters.errors import InvalidValueError, MissingExtraError, OutputError, UnknownNameError
from env_adapters.rollout import Episode
from harness.commands.datasets_describe import main


@dataclass
class Statistics:
    return_mean: float = 1.25
    return_std: float = 1.5
    return_min: float = -3.0
    return_max: float = 9.5
    n_transitions: int = 12
    n_episodes: int = 4
    mean_episode_length: float = 2.5
    joint_saco: float = 0.5


@dataclass
class Entry:
    published: Statistics


@pytest.fixture
def named(tmp_path: Path, episodes: list[Episode]) -> Path:
    """A file whose card names a dataset of the catalog."""
    from recorded import DISCRETE

    from datasets.formats.native import NativeWriter
    from datasets.schema import BehaviourRecord

    with NativeWriter(tmp_path / "named.h5", DISCRETE, 0) as writer:
        for episode in episodes:
            writer.append(episode)
        writer.finish([BehaviourRecord("x", "none", "sample", 4)], source="maker/world/line/Good")
    return tmp_path / "named.h5"


@pytest.fixture
def catalog(monkeypatch: pytest.MonkeyPatch) -> dict[str, Entry]:
    """A catalog in place of the real one."""
    entries: dict[str, Entry] = {}
    monkeypatch.setattr("datasets.catalog.published", entries.get)
    return entries


def test_published_numbers_stand_beside_ours(
    named: Path, catalog: dict[str, Entry], capsys: pytest.CaptureFixture[str]
) -> None:
    catalog["maker/world/line/Good"] = Entry(Statistics())
    assert main([str(named), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    mean = open_dataset(named).card.returns.mean
    assert told["published"]["return mean"] == {
        "here": mean, "published": 1.25, "difference": pytest.approx(mean - 1.25),
    }  # fmt: skip
    assert told["published"]["transitions"] == {"here": 11, "published": 12, "difference": -1}
    assert told["published"]["state-action coverage"]["here"] == told["state_coverage"]
    assert main([str(named)]) == 0
    lines = capsys.readouterr().out.splitlines()
    row = next(line for line in lines if line.startswith("  transitions")).split()
    assert row == ["transitions", "11", "12", "-1"]
    assert all(len(line) <= 100 and line == line.rstrip() for line in lines)


def test_without_published_numbers_none_are_shown(named: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(named)]) == 0
    assert "publish" not in capsys.readouterr().out


def test_json_holds_everything(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(path), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["card"] == json.loads(open_dataset(path).card.to_json())
    assert (told["is_sound"], told["n_actions"], told["legal_share"], told["illegal"]) == (True, 22, 1.0, [])
    assert sum(told["return_histogram"]["counts"]) == sum(told["length_histogram"]["counts"]) == 4
    assert told["published"] == {} and len(told["action_usage"]) == 5


def png_size(path: Path) -> tuple[int, int]:
    from PIL import Image

    with Image.open(path) as image:
        image.load()
        colours = image.convert("RGB").getcolors(1 << 20)
        assert colours is not None and len(colours) > 20
        return image.size


@pytest.mark.parametrize("kind", ["one episode", "several", "published"])
def test_the_picture(
    named: Path, tmp_path: Path, kind: str, catalog: dict[str, Entry], capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("matplotlib", reason="pictures need the extra 'plot'")
    if kind == "one episode":
        write(tmp_path / "named.h5", [make_episode(np.random.default_rng(0), 3)])
    if kind == "published":
        catalog["maker/world/line/Good"] = Entry(Statistics(return_std=2.0))
    picture = tmp_path / "new" / "a.png"
    assert main([str(named), "--plot", str(picture)]) == 0
    width, height = png_size(picture)
    assert width > height > 800
    assert f"picture: {picture}" in capsys.readouterr().err


def test_published_numbers_change_the_picture(named: Path, tmp_path: Path, catalog: dict[str, Entry]) -> None:
    pytest.importorskip("matplotlib", reason="pictures need the extra 'plot'")
    main([str(named), "--plot", str(tmp_path / "a.png")])
    main([str(named), "--plot", str(tmp_path / "b.png")])
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    catalog["maker/world/line/Good"] = Entry(Statistics())
    main([str(named), "--plot", str(tmp_path / "b.png")])
    assert (tmp_path / "a.png").read_bytes() != (tmp_path / "b.png").read_bytes()


def test_without_matplotlib_the_extra_is_named(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == "matplotlib"]:
        monkeypatch.delitem(sys.modules, name)
    honest = builtins.__import__

    def refuse(name: str, *rest: Any) -> Any:
        if name.split(".")[0] == "matplotlib":
            raise ImportError(name)
        return honest(name, *rest)

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(MissingExtraError, match=r"pip install 'marl-harness\[plot\]'"):
        main([str(path), "--plot", str(tmp_path / "a.png")])
    assert not (tmp_path / "a.png").exists()


def test_mistakes(path: Path, tmp_path: Path) -> None:
    with pytest.raises(InvalidValueError, match=r"end it with \.png"):
        main([str(path), "--plot", str(tmp_path / "a.jpg")])
    with pytest.raises(UnknownNameError, match="no dataset file"):
        main([str(tmp_path / "nothing.h5")])
    foreign = save(tmp_path / "5m_vs_6m_medium.h5", cfcql())
    with pytest.raises(InvalidValueError, match=f"convert it first: harness datasets convert {foreign}"):
        main([str(foreign)])
    pytest.importorskip("matplotlib", reason="pictures need the extra 'plot'")
    with pytest.raises(OutputError, match="cannot write"):
        main([str(path), "--plot", str(path / "a.png")])


def test_findings_that_collecting_never_makes(path: Path) -> None:
    """Duplicate transitions, numbers that are not finite, and features that never change."""
    from datasets.describe import describe

    dataset = open_dataset(path)
    sound = describe(dataset)
    assert (sound.n_duplicate_transitions, sound.n_not_finite, sound.constant_features) == (0, 0, ())
    observations, states = dataset.observations.copy(), dataset.states.copy()
    actions, rewards = dataset.actions.copy(), dataset.rewards.copy()
    observations[..., 1] = 4.0
    for array, first in ((observations, 0), (states, 0)):
        array[6:8] = array[first : first + 2]  # transition 4 of episode 2 begins at moment 6
    actions[4], rewards[4] = actions[0], rewards[0]
    states[3, 2], rewards[10] = np.nan, np.inf
    spoiled = dataclasses.replace(
        dataset, observations=observations, states=states, actions=actions, rewards=rewards
    )
    found = describe(dataclasses.replace(spoiled, rewards=np.nan_to_num(rewards, posinf=0.0)))
    assert (found.n_duplicate_transitions, found.n_not_finite) == (1, 1)
    assert found.constant_features == (1,) and not found.is_sound
    assert found.n_duplicates == 0
    observations[7] += 1  # the same step, but it led elsewhere
    found = describe(dataclasses.replace(spoiled, rewards=np.nan_to_num(rewards, posinf=0.0)))
    assert found.n_duplicate_transitions == 0


@pytest.mark.parametrize("block", [1, 4, 7])
def test_blocks_do_not_matter(path: Path, block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    from datasets import describe as module
    from datasets.describe_text import description_values

    dataset = open_dataset(path)
    assert dataset.available_actions is not None
    masks = dataset.available_actions.copy()
    masks[:, 1] = False
    flags = dataset.truncated.copy()
    flags[[0, 9]] = True
    dataset = dataclasses.replace(dataset, available_actions=masks, truncated=flags)
    whole = description_values(module.describe(dataset))
    monkeypatch.setattr(module, "_BLOCK", block)
    assert description_values(module.describe(dataset)) == whole
    assert [found["transition"] for found in whole["illegal"]] == [0, 1, 2, 3, 4]
