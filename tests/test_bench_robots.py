"""`harness bench mujoco` and `harness bench flavours`: real runs cut short, and the work behind the numbers."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("mujoco")
pytest.importorskip("gymnasium_robotics")

from benchmarks import flavours, mujoco
from benchmarks.flavours import omiga_view
from benchmarks.robot_speed import CLimitRace
from env_adapters import scenarios
from env_adapters.errors import InvalidValueError, MismatchError, UnknownNameError


def test_every_row_is_measured() -> None:
    report = mujoco.run(mujoco.Config(maps=("6halfcheetah", "3hopper"), quick=True), lambda line: None)
    rows = {row["what"]: row for row in report.rows}
    targets = {
        "6halfcheetah, batched over mujoco.rollout, 2 threads": 0.90,
        "3hopper, batched, two threads over one": 1.9,
        "6halfcheetah, single over mamujoco_v1": 2.0,
        "3hopper, single over mamujoco_v1": 1.7,
        "6halfcheetah, ten episodes": 0.7,
        "6halfcheetah, ten episodes, mamujoco_v1's time over ours": 6.0,
        "3hopper, frames, drawn": 75.0,
    }
    for what, target in targets.items():
        assert rows[what]["target"] == target
        assert rows[what]["n"] == 2 and 0 < rows[what]["lowest"] <= rows[what]["median"] < float("inf")
    assert (report.benchmark, report.quick) == ("mujoco", True)


@pytest.mark.parametrize("name", ["6halfcheetah", "3hopper", "2ant"])
def test_both_sides_of_a_race_end_in_the_same_state(name: str) -> None:
    """So that `mujoco.rollout` does the work that the adapter does, and no game is spared by a fall."""
    race = CLimitRace(name, n_games=3, n_threads=1, n_steps=8)
    race.race(ours_first=True)
    nq = race._model.nq
    for game in range(3):
        ours = race._env.render_state(game).arrays
        np.testing.assert_array_equal(race._out[game, -1, 1 : 1 + nq], ours["qpos"])  # after the time
        assert int(ours["step"]) == 8


def test_the_view_of_another_flavour_is_the_omiga_one() -> None:
    """Made from a robot's own observation, which is rounded to single precision, it differs by rounding alone."""
    for name in ("6halfcheetah", "2ant"):
        with scenarios.make_vector(name, 2) as env:
            step = env.reset(np.arange(2))
            view = omiga_view(env.state().astype(np.float64), env.spec.n_agents)
            np.testing.assert_allclose(view, step.observations, atol=2e-6)


def test_one_policy_in_three_flavours() -> None:
    report = flavours.run(flavours.Config(maps=("3hopper",), quick=True), lambda line: None)
    omiga, today, wrapped = report.rows
    assert [row["n"] for row in report.rows] == [2, 2, 2]
    assert omiga["engine"].endswith("+2.1-constants") and omiga["relative"] == 1.0
    assert omiga["agent_hash"] == today["agent_hash"] == wrapped["agent_hash"]
    # gymnasium-robotics plays Gymnasium's robot: the same episodes, through other code.
    assert today["return_mean"] == pytest.approx(wrapped["return_mean"], rel=1e-9)
    assert today["return_mean"] != omiga["return_mean"]
    assert 2000 < omiga["return_mean"] < 3000


def test_mistakes() -> None:
    def silent(line: str) -> None:
        pass

    for module in (mujoco, flavours):
        with pytest.raises(InvalidValueError, match="3m is no dataset robot; choose from 6halfcheetah"):
            module.run(module.Config(maps=("3m",)), silent)
        with pytest.raises(UnknownNameError, match="unknown map '4hopper'"):
            module.run(module.Config(maps=("4hopper",)), silent)
    with pytest.raises(InvalidValueError, match="--episodes"):
        flavours.run(flavours.Config(episodes=0), silent)
    with pytest.raises((UnknownNameError, MismatchError), match="no trained 'ppo-good' ships"):
        flavours.run(flavours.Config(maps=("2ant",), agent="ppo-good"), silent)
