"""Films of robots: drawn flat or through OpenGL, and always drawn."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
from imageio_ffmpeg import count_frames_and_secs

from env_adapters.api import RenderState
from env_adapters.rollout import Episode
from videos import encode, gl
from videos import mujoco as robot_films
from videos.robots import find_robot, model_path
from videos.style import BLUE, HEADER, ORANGE, Picture


def amount(picture: Picture, colour: tuple[int, int, int]) -> int:
    """Number of pixels of a colour."""
    return int((np.abs(picture.astype(int) - colour).max(axis=-1) <= 6).sum())


def centre(picture: Picture, colour: tuple[int, int, int]) -> np.ndarray:
    """Mean row and column of the pixels of a colour, below the header."""
    field = picture[HEADER:].astype(int)
    return np.argwhere(np.abs(field - colour).max(axis=-1) <= 6).mean(axis=0)


def cheetah(x: np.ndarray) -> Episode:
    """HalfCheetah gliding in its first pose, with the torso at these places."""
    frames = [
        RenderState("mujoco", "6halfcheetah-v1", {"qpos": np.r_[place, np.zeros(8)], "qvel": np.zeros(9)})
        for place in x
    ]
    return Episode(2, list(np.diff(x) / 0.05), truncated=True, frames=frames)


@pytest.fixture
def no_gl(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("mujoco")
    pytest.importorskip("gymnasium")
    monkeypatch.setattr(gl, "find_backend", lambda: None)


@pytest.mark.usefixtures("no_gl")
def test_a_robot_is_filmed_without_opengl(tmp_path: Path) -> None:
    episode = cheetah(np.linspace(0, 300, 12))
    film = list(robot_films.film(episode, "bc"))
    assert len(film) == 1 + 6 + robot_films.FPS
    assert {picture.shape for picture in film} == {(360, 480, 3)}
    for picture in film[:7]:  # it stays in the middle and keeps its colours
        assert amount(picture[HEADER:], BLUE) > 150
        assert amount(picture[HEADER:], ORANGE) > 150
        np.testing.assert_allclose(centre(picture, BLUE)[1], 190, atol=20)
    assert np.any(film[0][300:] != film[3][300:])  # the ground moves
    assert np.any(film[0][:HEADER] != film[3][:HEADER])
    path = encode.film_episode(episode, tmp_path / "cheetah.mp4", "bc")
    assert count_frames_and_secs(str(path))[0] == len(film)


@pytest.mark.usefixtures("no_gl")
def test_the_side_view_shows_height() -> None:
    rows = []
    for height in (0.0, 0.5):
        episode = cheetah(np.zeros(2))
        for frame in episode.frames:
            frame.arrays["qpos"][1] = height
        rows.append(centre(next(iter(robot_films.film(episode, "bc"))), ORANGE)[0])
    assert rows[0] - rows[1] == pytest.approx(0.5 * 480 / 4, abs=2)


def test_a_film_comes_out_when_opengl_turns_out_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("gymnasium")
    pytest.importorskip("mujoco")
    episode = cheetah(np.linspace(0, 1, 3))
    monkeypatch.setattr(gl, "find_backend", lambda: None)
    expected = list(robot_films.film(episode, "bc"))
    monkeypatch.setattr(gl, "find_backend", lambda: "no-such-backend")
    np.testing.assert_array_equal(np.stack(list(robot_films.film(episode, "bc"))), np.stack(expected))


def test_a_hanging_driver_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hanging = tmp_path / "python"
    hanging.write_text("#!/bin/sh\nexec sleep 60\n")
    hanging.chmod(0o755)
    monkeypatch.setattr(gl, "find_backend", lambda: "egl")
    monkeypatch.setattr(gl, "_START_LIMIT_S", 0.2)
    monkeypatch.setattr(gl.sys, "executable", str(hanging))
    start = time.monotonic()
    assert list(gl.pictures(tmp_path / "robot.xml", np.zeros((2, 9)), (480, 296))) == []
    assert time.monotonic() - start < 10


def test_the_users_choice_of_opengl_comes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MUJOCO_GL", "glfw")
    assert gl.find_backend() == "glfw"
    monkeypatch.setenv("MUJOCO_GL", "disable")
    assert gl.find_backend() is None
    monkeypatch.delenv("MUJOCO_GL")
    monkeypatch.setattr(gl, "_loads", lambda library: library == "libEGL.so.1")
    assert gl.find_backend() == "egl"
    monkeypatch.setattr(gl, "_loads", lambda library: False)
    assert gl.find_backend() is None


def test_opengl_keeps_the_robot_and_the_floor_in_sight() -> None:
    """MuJoCo is imported here beforehand, without OpenGL, as the simulator does."""
    pytest.importorskip("mujoco")
    pytest.importorskip("gymnasium")
    if gl.find_backend() is None:
        pytest.skip("no OpenGL library here")
    qpos = np.zeros((3, 9))
    qpos[:, 0] = (0, 30, 300)
    pictures = list(gl.pictures(model_path(find_robot("6halfcheetah-v1")), qpos, (480, 296)))
    if not pictures:
        pytest.skip("the OpenGL library here has no working driver")
    assert len(pictures) == 3
    for picture in pictures:
        red, _, blue = (picture[..., k].astype(int) for k in range(3))
        assert (red > blue + 30).sum() > 500  # the robot is the only warm colour
        assert (blue[200:] > red[200:] + 10).sum() > 5000  # squares of the floor
