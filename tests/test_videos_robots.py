"""Films of robots: through OpenGL or drawn flat, and always drawn."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from imageio_ffmpeg import count_frames_and_secs

from env_adapters.api import RenderState
from env_adapters.errors import UnknownNameError
from env_adapters.mamujoco import versions
from env_adapters.mamujoco.robots import DATASET_TEAMS, ROBOTICS_TEAMS, ROBOTS
from env_adapters.rollout import Episode
from env_adapters.scenarios import SCENARIOS
from videos import backends, encode, gl, robots
from videos import mujoco as robot_films
from videos.drawing import DRAWN, Drawing
from videos.robots import SHOTS, find_task, geom_colours, load_model
from videos.style import HEADER, ORANGE, STRIP, Colour, Picture

pytest.importorskip("mujoco")
pytest.importorskip("gymnasium")

PROJECT = Path(__file__).resolve().parents[1]
VIEW = (480, 360 - HEADER)
SCENARIO = {team.task: name for name, team in [*ROBOTICS_TEAMS.items(), *DATASET_TEAMS.items()]}
"""One scenario of each robot."""


def poses(task: str, *places: float) -> np.ndarray:
    """[F, nq], the first pose of a robot at these places along x; robots that cannot travel stay."""
    qpos = np.tile(load_model(task).qpos0, (len(places), 1))
    if SHOTS[task].follows:
        qpos[:, 0] = places
    return qpos


def episode(task: str, qpos: np.ndarray, terminated: bool = False) -> Episode:
    frames = [
        RenderState("mujoco", f"{SCENARIO[task]}-v1", {"qpos": pose, "qvel": 0 * pose}) for pose in qpos
    ]
    return Episode(2, [1.0] * (len(qpos) - 1), terminated=terminated, truncated=not terminated, frames=frames)


def robot(picture: Picture) -> np.ndarray:
    """Where a robot stands out from sky, floor, walls and lettering, which are all darker."""
    return picture.max(axis=-1) > 175


def middle(mask: np.ndarray) -> np.ndarray:
    """Mean row and column."""
    return np.argwhere(mask).mean(axis=0)


def near(picture: Picture, colour: Colour) -> np.ndarray:
    return np.abs(picture.astype(int) - colour).max(axis=-1) <= 6


def check_in_sight(pictures: list[Picture], task: str) -> None:
    """A robot stands whole, and equally large and at the same place, in all pictures."""
    for picture in pictures:
        seen, first = robot(picture), robot(pictures[0])
        assert seen.sum() > 500, task
        edge = np.concatenate((seen[0], seen[-1], seen[:, 0], seen[:, -1]))
        assert not edge.any(), task
        assert seen.sum() == pytest.approx(first.sum(), rel=0.05), task
        np.testing.assert_allclose(middle(seen), middle(first), atol=1, err_msg=task)


@pytest.fixture
def no_gl(monkeypatch: pytest.MonkeyPatch) -> None:
    """MUJOCO_GL=disable starts no process at all."""

    def refuse(*arguments: object, **options: object) -> None:
        raise AssertionError("a process was started")

    monkeypatch.setenv("MUJOCO_GL", "disable")
    monkeypatch.setattr(backends, "start", refuse)


@pytest.fixture(scope="module")
def device() -> backends.Device:
    """The OpenGL of this machine."""
    found = backends.find_device(60)
    if found is None:
        pytest.skip("no working OpenGL here")
    return found


@pytest.fixture(autouse=True)
def nothing_known_broken() -> Iterator[None]:
    gl._broken.clear()
    yield
    gl._broken.clear()


def test_every_robot_scenario_can_be_filmed() -> None:
    assert SHOTS.keys() == ROBOTS.keys()
    for name, scenario in SCENARIOS.items():
        if scenario.family == "mamujoco":
            assert load_model(find_task(scenario.id)).nq > 0, name
    with pytest.raises(UnknownNameError, match="robot to film"):
        find_task("3m")


@pytest.mark.parametrize("task", SHOTS)
def test_every_kind_of_part_is_drawn(task: str) -> None:
    kinds = load_model(task).geom_type
    assert (kinds == 0).sum() == 1, "the floor"
    assert set(kinds[kinds != 0]) <= set(DRAWN)


@pytest.mark.usefixtures("no_gl")
@pytest.mark.parametrize("task", SHOTS)
def test_a_robot_is_filmed_without_opengl(task: str) -> None:
    stride = SHOTS[task].stride
    film = list(robot_films.film(episode(task, poses(task, *np.linspace(0, 301.3, 2 * stride + 2))), "bc"))
    assert len(film) == 1 + 3 + robot_films.FPS
    assert {(picture.shape, picture.dtype.name) for picture in film} == {((360, 480, 3), "uint8")}
    check_in_sight([picture[HEADER:] for picture in film[:4]], task)
    if SHOTS[task].follows:
        assert np.any(film[0][HEADER:] != film[1][HEADER:]), "the ground moves"
    assert np.any(film[0][:HEADER] != film[1][:HEADER])


def test_both_ways_of_drawing_frame_a_robot_alike(device: backends.Device) -> None:
    for task in SHOTS:
        qpos = poses(task, 0, 7.3, 300)
        rendered = list(gl.pictures(task, qpos, VIEW))
        assert [picture.shape for picture in rendered] == [(VIEW[1], VIEW[0], 3)] * 3, task
        assert rendered[0].dtype == np.uint8
        check_in_sight(rendered, task)
        drawing = Drawing(task, VIEW)
        for picture, pose in zip(rendered, qpos, strict=True):
            drawn = robot(np.asarray(drawing.draw(pose)))
            np.testing.assert_allclose(middle(robot(picture)), middle(drawn), atol=25, err_msg=task)
        if task in ("Ant", "Humanoid"):
            shadows = (rendered[0].max(axis=-1) < 36, near(np.asarray(drawing.draw(qpos[0])), (26, 29, 35)))
            assert min(shadow.sum() for shadow in shadows) > 300, f"{task}: a shadow"
        if SHOTS[task].follows:
            floor = [np.where(robot(picture), 0, picture[..., 0]) for picture in rendered]
            assert (np.abs(floor[0].astype(int) - floor[1]) > 5).mean() > 0.1, f"{task}: the floor moves"
            assert floor[2].std() == pytest.approx(floor[0].std(), rel=0.1), f"{task}: and never ends"


@pytest.mark.usefixtures("no_gl")
def test_the_drawing_shows_height() -> None:
    qpos = poses("HalfCheetah", 0, 0)
    qpos[1, 1] = 0.5
    drawing = Drawing("HalfCheetah", VIEW)
    low, high = (middle(near(np.asarray(drawing.draw(pose)), ORANGE))[0] for pose in qpos)
    assert low - high == pytest.approx(0.5 * VIEW[1] / SHOTS["HalfCheetah"].view_m, abs=1)


@pytest.mark.usefixtures("no_gl")
def test_nearer_parts_cover_farther_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    drawing, pose = Drawing("Ant", VIEW), poses("Ant", 0)[0]
    nearest = geom_colours(load_model("Ant"))[-3]
    seen = near(np.asarray(drawing.draw(pose)), nearest).sum()
    parts = drawing._parts
    monkeypatch.setattr(drawing, "_parts", lambda: parts()[::-1])
    assert near(np.asarray(drawing.draw(pose)), nearest).sum() < 0.8 * seen, "now the trunk covers the leg"


def test_limbs_differ_in_hue_and_things_keep_their_colour() -> None:
    model = load_model("Humanoid")
    colours = dict(zip((model.geom(g).name for g in range(model.ngeom)), geom_colours(model), strict=True))
    limbs = [colours[name] for name in ("right_thigh1", "left_thigh1", "right_uarm1", "left_uarm1")]
    assert len(set(limbs)) == 4
    assert colours["torso1"] == colours["butt"] == colours["head"] not in limbs
    assert colours["right_shin1"] not in (*limbs, colours["right_foot"]), "limbs get lighter towards the end"
    reacher = load_model("Reacher")
    assert geom_colours(reacher)[reacher.geom("target").id] == (229, 51, 51)


def test_a_film_becomes_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MUJOCO_GL", "disable")
    path = encode.film_episode(episode("Ant", poses("Ant", 0, 1)), tmp_path / "ant.mp4", "bc")
    assert count_frames_and_secs(str(path))[0] == 2 + robot_films.FPS, (
        "one step: both ends and the last second"
    )


@pytest.mark.usefixtures("no_gl")
@pytest.mark.parametrize(
    ("task", "terminated", "headline", "detail"),
    [
        ("Hopper", True, "FELL", "after 3 of 1000 steps  ·  return 3.00  ·  6.0 m in 0.0 s"),
        ("Hopper", False, "return 3.00", "6.0 m in 0.0 s"),
        ("Ant", True, "LOST BALANCE", "after 3 of 1000 steps  ·  return 3.00  ·  6.0 m in 0.2 s"),
        ("HumanoidStandup", False, "return 3.00", "0.10 m high after 0.0 s"),
        ("Reacher", False, "return 3.00", "3 steps in 0.1 s"),
    ],
)
def test_the_banner_says_how_it_ended(
    task: str, terminated: bool, headline: str, detail: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[Any] = []
    monkeypatch.setattr(robot_films, "banner", lambda view, *words: said.extend(words))
    list(robot_films.film(episode(task, poses(task, 0, 2, 4, 6), terminated), "bc"))
    assert said[0] == headline and said[2] == detail
    assert (said[1] == ORANGE) is terminated


@pytest.mark.usefixtures("no_gl")
def test_the_header_measures_only_what_a_robot_does() -> None:
    lower = {
        task: next(robot_films.film(episode(task, poses(task, 0, 1)), "bc"))[32 : HEADER - 2, 130:]
        for task in ("HalfCheetah", "HumanoidStandup", "Pusher")
    }
    written = {task: (strip != STRIP).any(axis=(0, 2)) for task, strip in lower.items()}
    assert written["HalfCheetah"][:140].any() and written["HalfCheetah"][240:].any(), "way and speed"
    assert written["HumanoidStandup"][:180].any() and not written["HumanoidStandup"][240:].any()
    assert not written["Pusher"].any()


@pytest.mark.usefixtures("no_gl")
def test_a_diverged_simulation_shows_its_last_pose() -> None:
    qpos = poses("Ant", 0, 1, 1, 1, 1)
    whole = list(robot_films.film(episode("Ant", qpos), "bc"))
    qpos[2:] = np.nan
    np.testing.assert_array_equal(
        np.stack(list(robot_films.film(episode("Ant", qpos), "bc"))), np.stack(whole)
    )


def test_a_film_comes_out_when_the_users_opengl_is_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    moments = episode("HalfCheetah", poses("HalfCheetah", 0, 1, 2))
    monkeypatch.setenv("MUJOCO_GL", "disable")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        expected = list(robot_films.film(moments, "bc"))
    monkeypatch.setenv("MUJOCO_GL", "no-such-backend")
    with pytest.warns(RuntimeWarning, match="MUJOCO_GL=no-such-backend draws nothing here") as caught:
        found = list(robot_films.film(moments, "bc"))
    assert len(caught) == 1
    np.testing.assert_array_equal(np.stack(found), np.stack(expected))


def test_films_leave_no_files_and_say_a_failure_once(tmp_path: Path) -> None:
    """As a user runs it: MuJoCo cannot be imported with this MUJOCO_GL, and logs into the current folder."""
    code = """
import numpy as np
from env_adapters.api import RenderState
from env_adapters.rollout import Episode
from videos import mujoco
frames = [RenderState("mujoco", "6halfcheetah-v1", {"qpos": np.full(9, x)}) for x in (0.0, 0.1)]
for _ in range(2):
    print(len(list(mujoco.film(Episode(2, [1.0], truncated=True, frames=frames), "bc"))))
"""
    answer = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(PROJECT), "MUJOCO_GL": "no-such-backend"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert answer.stdout.split() == ["22", "22"]
    assert answer.stderr.count("RuntimeWarning") == answer.stderr.count("no-such-backend draws nothing") == 1
    assert len(answer.stderr.splitlines()) <= 2
    assert list(tmp_path.iterdir()) == []


def test_a_backend_that_fails_hands_over_to_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, list[float]]] = []
    able = {"egl": 0, "osmesa": 2, "glfw": 9}

    def drawn_by(backend: str, task: str, qpos: np.ndarray, size: tuple[int, int]) -> Iterator[Picture]:
        asked.append((backend, list(qpos[:, 0])))
        for x in qpos[: able[backend], 0]:
            yield np.full((1, 1, 3), x, dtype=np.uint8)

    monkeypatch.setattr(backends, "candidates", lambda: tuple(able))
    monkeypatch.setattr(gl, "_drawn_by", drawn_by)
    qpos = np.arange(5.0)[:, None]
    for _ in range(2):
        assert [picture[0, 0, 0] for picture in gl.pictures("Ant", qpos, VIEW)] == [0, 1, 2, 3, 4]
    second = [("osmesa", [0, 1, 2, 3, 4]), ("glfw", [2, 3, 4])]
    assert asked == [("egl", [0, 1, 2, 3, 4]), *second, *second], "what drew nothing is asked once"


@pytest.fixture
def hanging(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A driver that never answers."""
    program = tmp_path / "python"
    program.write_text("#!/bin/sh\nexec sleep 60\n")
    program.chmod(0o755)
    monkeypatch.setattr(backends, "candidates", lambda: ("egl",))
    monkeypatch.setattr(backends.sys, "executable", str(program))


@pytest.mark.usefixtures("hanging")
def test_a_hanging_driver_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gl, "_PATIENCE_S", 0.2)
    start = time.monotonic()
    assert list(gl.pictures("Ant", np.zeros((2, 15)), VIEW)) == []
    with pytest.raises(TimeoutError, match="egl"):
        backends.find_device(0.2)
    assert time.monotonic() - start < 20


def test_a_device_names_itself(device: backends.Device, monkeypatch: pytest.MonkeyPatch) -> None:
    assert device.backend in backends.candidates() and device.renderer
    monkeypatch.setenv("PYOPENGL_PLATFORM", "no-such-platform")
    monkeypatch.setenv("MUJOCO_GL", device.backend)
    assert backends.find_device(60) == device, "what PyOpenGL was told elsewhere does not matter"
    monkeypatch.setenv("MUJOCO_GL", "no-such-backend")
    assert backends.find_device(60) is None


@pytest.mark.parametrize(
    ("renderer", "software"),
    [("llvmpipe (LLVM 15.0.6, 256 bits)", True), ("softpipe", True), ("NVIDIA H200/PCIe/SSE2", False)],
)
def test_software_is_told_from_hardware(renderer: str, software: bool) -> None:
    assert backends.Device("egl", renderer).software is software


def test_candidates_are_what_is_there_and_the_users_choice_comes_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(backends.sys, "platform", "linux")
    monkeypatch.delenv("MUJOCO_GL", raising=False)
    there = {"libEGL.so.1", "libOSMesa.so.8"}
    monkeypatch.setattr(backends, "_loads", lambda library: library in there)
    assert backends.candidates() == ("egl", "osmesa")
    there.remove("libEGL.so.1")
    assert backends.candidates() == ("osmesa",)
    there.clear()
    assert backends.candidates() == ()
    monkeypatch.setattr(backends.sys, "platform", "darwin")
    assert backends.candidates() == ("",), "the system's own"
    monkeypatch.setenv("MUJOCO_GL", "GLFW")
    assert backends.candidates() == ("glfw",)
    monkeypatch.setenv("MUJOCO_GL", "Disable")
    assert backends.candidates() == ()


def test_mujoco_that_is_broken_without_mujoco_gl_stays_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(name: str) -> None:
        raise AttributeError(f"{name} {os.environ.get('MUJOCO_GL')}")

    monkeypatch.setattr(versions.importlib, "import_module", fail)
    monkeypatch.delenv("MUJOCO_GL", raising=False)
    with pytest.raises(AttributeError, match="None"):
        robots.import_mujoco()
    monkeypatch.setenv("MUJOCO_GL", "egl")
    with pytest.raises(AttributeError, match="disable"):
        robots.import_mujoco()
    assert os.environ["MUJOCO_GL"] == "egl"
