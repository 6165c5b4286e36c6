"""A layout can be chosen on the command line, and nothing that was made for one is used with another."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from recorded import make_episode, write

from agents import headers, zoo
from agents.bc import BcConfig
from agents.checkpoints import initial, load_checkpoint, save_checkpoint, write_tensors
from agents.vgm2p import Vgm2pConfig
from datasets.formats.native import open_dataset
from env_adapters import scenarios
from env_adapters.errors import (
    CorruptFileError,
    MismatchError,
    RunConflictError,
    UnknownNameError,
)
from env_adapters.starcraft.smacv2_options import SmacV2Options
from harness import cli
from harness.errors import run_command
from harness.evaluate import EvaluateConfig, evaluate
from harness.layouts import label, option
from harness.records import load_run
from harness.team import choose_team

PROJECT = Path(__file__).resolve().parents[1]
OMIGA = "smac-v1-omiga"


def test_labels_leave_the_default_out_and_fit_into_file_names() -> None:
    scenario = scenarios.find("terran_5_vs_5")
    assert (label(scenario, "smacv2"), option(scenario, "smacv2")) == ("", "")
    assert label(scenario, "smacv2-fixed") == "-smacv2-fixed"
    assert option(scenario, "smacv2-fixed") == " --layout smacv2-fixed"
    switches = {f.name: not f.default for f in fields(SmacV2Options) if isinstance(f.default, bool)}
    longest = SmacV2Options(**switches | {"obs_starcraft": True}).layout_id
    other = SmacV2Options(**switches | {"obs_starcraft": True, "fully_observable": False}).layout_id
    assert len(longest) > 255 and label(scenario, longest)[:50] == label(scenario, other)[:50]
    assert len(label(scenario, longest)) <= 61 and label(scenario, longest) != label(scenario, other)


@pytest.fixture
def ship(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], Path]:
    """Ship an untrained checkpoint of 3m by NAME and layout instead of the real ones."""
    monkeypatch.setattr(zoo, "FOLDER", tmp_path)

    def one(name: str, layout: str) -> Path:
        with scenarios.make_vector("3m", 1, layout=layout) as env:
            team = initial("bc-meanflow", BcConfig(hidden=(4,)), env.spec, 0)
        path = tmp_path / f"3m--{name}.safetensors"
        save_checkpoint(path, team.agent, team.params, {"name": name})
        return path

    return one


def test_the_default_team_fits_the_layout(
    ship: Callable[[str, str], Path], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    with scenarios.make_vector("3m", 1) as env, scenarios.make_vector("3m", 1, layout=OMIGA) as omiga:
        plain_spec, omiga_spec = env.spec, omiga.spec
    ship("vgm2p", "smac-v1")
    with pytest.raises(UnknownNameError, match=r"layout 'smac-v1-omiga' ships .*vgm2p of smac-v1\).*--agent"):
        choose_team("3m", omiga_spec, None, None)
    ship("ppo-good", OMIGA)
    ship("ppo-medium", OMIGA)
    assert choose_team("3m", plain_spec, None, None).provenance == {"name": "vgm2p"}
    assert choose_team("3m", omiga_spec, None, None).provenance == {"name": "ppo-good"}
    assert [entry.name for entry in zoo.entries("3m", OMIGA)] == ["ppo-good", "ppo-medium"]
    with pytest.raises(MismatchError) as caught:
        choose_team("3m", plain_spec, "ppo-good", None)
    assert str(caught.value) == (
        f"checkpoint {tmp_path / '3m--ppo-good.safetensors'} was trained for layout 'smac-v1-omiga', this run has "
        "'smac-v1'; add --layout smac-v1-omiga, or choose a checkpoint of smac-v1"
    )
    with pytest.raises(MismatchError, match=r"or --map 3m --layout smac-v1-omiga$"):
        choose_team("8m", replace(plain_spec, scenario="8m-v1"), None, zoo.find("3m", "ppo-good"))
    damaged = ship("ppo-poor", OMIGA)
    damaged.write_bytes(damaged.read_bytes()[:100])
    assert cli.run(["ls", "agents"]) == 0
    out, err = capsys.readouterr()
    rows = [line.split()[:3] for line in out.splitlines() if line.startswith("3m ")]
    assert rows == [["3m", OMIGA, "ppo-good"], ["3m", OMIGA, "ppo-medium"], ["3m", "smac-v1", "vgm2p"]]
    assert "left out: " in err and "ppo-poor" in err
    assert choose_team("3m", plain_spec, None, None).provenance == {"name": "vgm2p"}, "nothing else was read"


def test_the_layout_of_a_file_is_read_without_its_weights(
    ship: Callable[[str, str], Path], tmp_path: Path
) -> None:
    path = ship("a", OMIGA)
    whole = bytearray(path.read_bytes())
    whole[-8:] = b"\xff" * 8
    path.write_bytes(whole)
    assert headers.layout_of(path) == OMIGA
    with pytest.raises(CorruptFileError, match="altered"):
        load_checkpoint(path)
    code = (
        "import sys; from agents import zoo; print(len(zoo.entries()), [e.layout for e in zoo.entries('3m')],"
        " 'torch' in sys.modules)"
    )
    answer = subprocess.run([sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True)
    assert answer.stdout.endswith(" ['smac-v1'] False\n"), answer.stderr
    write_tensors(tmp_path / "state", {"step": 1}, {})
    (tmp_path / "text").write_text("no weights")
    for name in ("state", "text", "nothing"):
        with pytest.raises(CorruptFileError, match=name):
            headers.layout_of(tmp_path / name)


def harness(line: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "harness", *line.split()]
    environment = os.environ | {"PYTHONPATH": str(PROJECT)}
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=300)


def succeeds(line: str, cwd: Path) -> str:
    answer = harness(line, cwd)
    assert answer.returncode == 0, answer.stderr
    return answer.stdout


def next_command(out: str) -> str:
    """What the last line proposes to type, without a comment behind it."""
    last = out.splitlines()[-1]
    assert last.startswith("next: harness ")
    return last.removeprefix("next: harness ").partition("#")[0]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """A command in this process; returns its exit code and what it printed."""

    def run(line: str) -> tuple[int, str, str]:
        monkeypatch.chdir(tmp_path)
        code = run_command(lambda: cli.run(line.split()))
        out, err = capsys.readouterr()
        return code, out, err

    return run


def test_from_training_to_a_leaderboard_in_another_layout(here: Any, tmp_path: Path) -> None:
    ppo = "train --agent ppo --map 3m --steps 32 --n-games 4 --horizon 8 --epochs 1 --hidden 8"
    trained = succeeds(f"{ppo} --layout {OMIGA}", tmp_path)
    file = "runs/train/3m-smac-v1-omiga-ppo-s0/checkpoint.safetensors"
    assert trained.splitlines()[0] == file
    proposed = next_command(trained)
    assert proposed == f"evaluate --map 3m --layout {OMIGA} --checkpoint {file}"
    played = succeeds(f"{proposed} --episodes 2", tmp_path)
    (run,) = [line.split()[1] for line in played.splitlines() if line.startswith("run ")]
    assert run.startswith("runs/3m-smac-v1-omiga--ppo-") and list((tmp_path / run).glob("videos/*.mp4"))
    stored = load_run(tmp_path / run)
    assert stored.manifest["config"]["layout"] == OMIGA
    assert stored.summary is not None and stored.summary.layout == OMIGA
    refused = harness(f"evaluate --map 3m --checkpoint {file} --episodes 2 --out other", tmp_path)
    assert refused.returncode == 4 and not (tmp_path / "other").exists()
    assert f"'{OMIGA}', this run has 'smac-v1'; add --layout {OMIGA}," in refused.stderr

    recorded = here(f"collect --map 3m --layout {OMIGA} --checkpoint {file} --transitions 60 --n-games 2")[1]
    data = "data/3m-smac-v1-omiga-custom.h5"
    assert recorded.startswith(data) and open_dataset(tmp_path / data).card.layout == OMIGA
    cloned = here(f"train --agent bc-meanflow --dataset {data} --steps 2 --hidden 8")[1]
    assert f" --layout {OMIGA} " in next_command(cloned)
    assert here(f"{next_command(cloned)} --episodes 2 --video 0")[0] == 0
    title, header, *rows = here("leaderboard")[1].splitlines()
    assert (
        title.split(" · ")[1] == OMIGA
        and header.startswith("#")
        and [row[0] for row in rows[:2]] == ["1", "2"]
    )


def foreign_dataset(path: Path, layout: str) -> None:
    """A dataset that says it is of 3m in this layout."""
    with scenarios.make_vector("3m", 1) as env:
        spec = replace(env.spec, layout=layout)
    write(path, [make_episode(np.random.default_rng(0), 4, spec)], spec)


@pytest.mark.parametrize(
    ("code", "line", "says"),
    [
        (3, "evaluate --map 3m --layout smac-v2", "layout 'smac-v2'; its layouts: smac-v1, smac-v1-omiga"),
        (3, "evaluate --map 3m --agent random --layout smac-v1+x", "unknown SMAC layout option 'x'"),
        (3, "evaluate --map 3m --layout smac-v1-omiga", "no checkpoint of layout 'smac-v1-omiga' ships"),
        (4, "evaluate --map 3m --agent nearest --layout smac-v1-omiga", "use random or noop"),
        (4, "evaluate --map 3m --agent ppo-good --layout smac-v1-omiga", "add --layout smac-v1, or"),
        (2, "collect --map 3m --layout=", "--layout is empty"),
        (3, "collect --map 3m --layout smac-v2", "its layouts: smac-v1, smac-v1-omiga"),
        (3, "collect --map 3m --layout smac-v1-omiga", "ships for map '3m' in layout smac-v1-omiga (shipped: none)"),
        (4, "collect --map 3m --agent ppo-good --layout smac-v1-omiga", "add --layout smac-v1, or"),
        (3, "train --agent ppo --map 3m --layout smac-v2", "its layouts: smac-v1, smac-v1-omiga"),
        (3, "train --agent ppo --map 3m --layout smac-v1+x", "unknown SMAC layout option 'x'"),
        (4, "train --agent vgm2p --dataset old.h5", "dataset old.h5: map '3m' cannot be played in layout 'smac-v0'; its layouts: smac-v1, smac-v1-omiga"),
        (4, "train --agent vgm2p --dataset old.h5 --layout smac-v1", "in layout 'smac-v0', not in --layout 'smac-v1'; leave"),
        (2, "ls agents 3m", "among maps only, not among agents"),
        (3, "ls maps 3n", "unknown map, family or layout '3n': did you mean 3m"),
    ],
)  # fmt: skip
def test_mistakes_about_layouts_are_one_line_and_leave_nothing_behind(
    here: Any, code: int, line: str, says: str, tmp_path: Path
) -> None:
    foreign_dataset(tmp_path / "old.h5", "smac-v0")
    found, out, err = here(line)
    assert (found, out) == (code, "")
    assert err.startswith("harness: error: ") and says in err and len(err.splitlines()) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["old.h5"]


def test_a_run_folder_keeps_its_layout_and_the_hint_names_it(
    here: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    question = EvaluateConfig("3m", agent="random", episodes=1, video=0, layout=OMIGA)
    first = evaluate(question)
    assert first.path.name.startswith("3m-smac-v1-omiga--random-") and first.summary.layout == OMIGA
    assert evaluate(question).resumed
    plain = evaluate(replace(question, layout="smac-v1"))
    assert plain.path == evaluate(replace(question, layout=None)).path != first.path
    with pytest.raises(RunConflictError):
        evaluate(replace(question, layout=None, out=first.path))

    monkeypatch.setattr(zoo, "FOLDER", tmp_path)
    with scenarios.make_vector("3m", 1, layout=OMIGA) as env:
        team = initial("vgm2p", Vgm2pConfig(hidden=(4,)), env.spec, 0)
    save_checkpoint(tmp_path / "3m--vgm2p.safetensors", team.agent, team.params, {})
    _, out, _ = here(f"evaluate --map 3m --layout {OMIGA} --episodes 1 --video 0")
    assert next_command(out).strip() == f"evaluate --map 3m --layout {OMIGA} --agent random"
    found, out, _ = here(f"{next_command(out)} --episodes 1 --video 0")
    assert found == 0 and f"runs/{first.path.name}" in out


def test_training_takes_the_datasets_layout_also_when_it_is_said_twice(here: Any, tmp_path: Path) -> None:
    code, _, err = here(f"collect --map 3m --layout {OMIGA} --agent random --transitions 9 --n-games 1")
    assert code == 0, err
    data = "data/3m-smac-v1-omiga-random.h5"
    code, out, err = here(
        f"train --agent vgm2p --dataset {data} --layout {OMIGA} --steps 1 --hidden 8 --out a"
    )
    assert code == 0, err
    assert load_checkpoint(tmp_path / out.splitlines()[0]).agent.spec.layout == OMIGA


def test_maps_can_be_chosen_by_name_family_or_layout(here: Any) -> None:
    def maps(text: str) -> list[str]:
        _, out, _ = here(f"ls maps {text}")
        return [line.split()[0] for line in out.splitlines()[1:]]

    assert maps("") == list(scenarios.SCENARIOS)
    assert maps("2ant") == ["2ant"] and {"2ant", "ant_4x2"} <= set(maps("ANT"))
    assert maps("smac-v1-omiga") == [s.name for s in scenarios.SCENARIOS.values() if s.family == "smac-v1"]
    assert maps("+conic_fov") == [name for name in scenarios.SCENARIOS if name.endswith("_conic")]
    assert maps("mamujoco") == [s.name for s in scenarios.SCENARIOS.values() if s.family == "mamujoco"]
    _, out, _ = here("ls maps 25m")
    assert out.splitlines()[1].endswith("smac-v1, smac-v1-omiga") and "layouts" in out.splitlines()[0]
