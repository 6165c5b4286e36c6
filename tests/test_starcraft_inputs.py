"""What StarCraft worlds say to input that makes no sense: one line that names what was wrong and what would do."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest

from env_adapters import scenarios
from env_adapters.errors import ActionError, CorruptFileError, HarnessError, InvalidValueError, MismatchError
from env_adapters.starcraft import maps
from env_adapters.starcraft.ground import first_corner


@pytest.mark.parametrize(
    ("name", "n_games", "options", "says"),
    [
        ("5m_vs_7m", 1, {}, "did you mean 5m_vs_6m"),
        ("3m", 0, {}, "at least 1"),
        ("3m", -1, {}, "at least 1"),
        ("3m", 2, {"n_threads": 0}, "at least 1"),
        ("3m", 1, {"obs_last_acton": True}, "did you mean obs_last_action"),
        ("3m", 1, {"obs_last_action": 3}, "give True or False"),
        ("3m", 1, {"reward_win": float("nan")}, "finite number"),
        ("3m", 1, {"layout": "smac-v2"}, "its layouts: smac-v1, smac-v1-omiga"),
        ("3m", 1, {"layout": "smac-v1-omiga", "obs_last_action": True}, "fixed features"),
        ("terran_5_vs_5", 1, {"conic": True}, "did you mean conic_fov"),
        ("terran_5_vs_5", 1, {"layout": "smac-v1"}, "its layouts: smacv2, smacv2-fixed"),
        ("terran_5_vs_5", 1, {"prob_obs_enemy": 1.5}, "from 0 to 1"),
    ],
)
def test_a_world_that_cannot_be_built(name: str, n_games: int, options: dict[str, Any], says: str) -> None:
    with pytest.raises(HarnessError, match=says) as caught:
        scenarios.make_vector(name, n_games, **options)
    assert "\n" not in str(caught.value)


def test_an_action_that_is_not_available_names_agent_step_and_what_was() -> None:
    env = scenarios.make("3m")
    env.reset(1)
    env.step(np.array([1, 1, 1]))
    before = env.state_hash()
    with pytest.raises(ActionError, match=r"action 8 of agent 2 .* at step 1; available: 1, 2, 3, 4, 5"):
        env.step(np.array([1, 1, 8]))
    for wrong in (np.array([1, 1]), np.array([1.0, 1.0, np.nan]), np.array([1, 1, -1])):
        with pytest.raises(ActionError):
            env.step(wrong)
    assert env.state_hash() == before


def test_stepping_before_a_reset_and_resets_that_do_not_fit() -> None:
    env = scenarios.make_vector("3m", 2)
    with pytest.raises(ActionError, match="reset every game"):
        env.step(np.ones((2, 3), dtype=np.int64))
    with pytest.raises(InvalidValueError, match="3 episode seeds for 2 games"):
        env.reset(np.arange(3))
    with pytest.raises(InvalidValueError, match="games 0 to 1"):
        env.reset(np.arange(1), np.array([5]))
    for seed in (2**63, 1.5, None, "a"):
        with pytest.raises(InvalidValueError, match="64-bit"):
            scenarios.make("3m").reset(seed)  # type: ignore[arg-type]
    with pytest.raises(InvalidValueError, match="64-bit"):
        env.reset(np.array([np.nan, 2.0]))  # type: ignore[arg-type]


def test_snapshots_of_other_worlds_and_other_bytes() -> None:
    snapshots = {}
    for name in ("3m", "8m", "terran_5_vs_5"):
        env = scenarios.make(name)
        env.reset(0)
        snapshots[name] = env.snapshot()
    world = scenarios.make("3m")
    world.reset(0)
    for name in ("8m", "terran_5_vs_5"):
        with pytest.raises(MismatchError, match="cannot be restored"):
            world.restore(snapshots[name])
    other_layout = scenarios.make_vector("3m", 1, layout="smac-v1-omiga")
    with pytest.raises(MismatchError, match="layout"):
        other_layout.restore(snapshots["3m"])
    with pytest.raises(CorruptFileError, match="not a snapshot"):
        world.restore(b"abc")


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("MMM2", {"layout": "smac-v1-omiga"}),
        ("corridor", {"obs_pathing_grid": True, "obs_terrain_height": True, "reward_sparse": True}),
        ("terran_5_vs_5", {"attack_probability": (0.5, 1.0), "health_level": (0.0, 0.3), "conic_fov": True}),
        ("zerg_5_vs_5", {"exact_observations": False, "prob_obs_enemy": 0.5}),
        ("2s3z", {"heuristic_ai": True, "heuristic_rest": True}),
    ],
)
def test_an_episode_follows_from_seed_and_actions_whatever_the_options(
    name: str, options: dict[str, Any]
) -> None:
    env = scenarios.make_vector(name, 1, **options)
    rng = np.random.default_rng(1)
    step = env.reset(np.array([7]))
    actions, seen = [], []
    for _ in range(12):
        assert step.available_actions is not None
        chosen = (rng.random(step.available_actions.shape) * step.available_actions).argmax(axis=-1)
        actions.append(chosen)
        step = env.step(chosen)
        seen.append((step.observations, env.state(), step.rewards))
    last = env.state_hash(0)
    again = scenarios.make_vector(name, 3, n_threads=2, **options)
    again.reset(np.array([1, 7, 2]))
    for chosen, (observations, state, rewards) in zip(actions, seen, strict=True):
        joint = np.zeros((3, *chosen.shape[1:]), dtype=np.int64)
        masks = again.restore(again.snapshot()).available_actions
        assert masks is not None
        joint[:] = masks.argmax(axis=-1)
        joint[1] = chosen[0]
        step = again.step(joint)
        np.testing.assert_array_equal(step.observations[1], observations[0])
        np.testing.assert_array_equal(again.state()[1], state[0])
        assert step.rewards[1] == rewards[0]
    assert again.state_hash(1) == last


def damaged(snapshot: bytes, **changes: np.ndarray | None) -> bytes:
    """A snapshot with arrays replaced, or left out where None, and everything else right."""
    with np.load(io.BytesIO(snapshot), allow_pickle=False) as archive:
        arrays = {name: archive[name] for name in archive.files} | changes
    buffer = io.BytesIO()
    np.savez(buffer, **{name: array for name, array in arrays.items() if array is not None})
    return buffer.getvalue()


def test_a_snapshot_with_nonsense_inside_is_refused_and_changes_nothing() -> None:
    env = scenarios.make_vector("3m", 1)
    env.reset(np.zeros(1, dtype=np.int64))
    snapshot, before = env.snapshot(), env.state_hash(0)
    with np.load(io.BytesIO(snapshot), allow_pickle=False) as archive:
        table = archive["table"]
    faults: list[dict[str, np.ndarray | None]] = [
        {"table": np.full_like(table, np.nan)},
        {"table": np.full_like(table, 1e9)},
        {"table": table[:, :, :2]},
        {"table": None},
        {"available": np.zeros((1, 3, 4), dtype=np.bool_)},
    ]
    for fault in faults:
        with pytest.raises(CorruptFileError, match="take a new one"):
            env.restore(damaged(snapshot, **fault))
        assert env.state_hash(0) == before
    env.restore(damaged(snapshot))


def test_options_belong_to_snapshots_and_hashes() -> None:
    plain, scripted = (scenarios.make_vector("3m", 1, heuristic_ai=heuristic) for heuristic in (False, True))
    for env in (plain, scripted):
        env.reset(np.zeros(1, dtype=np.int64))
    assert plain.state_hash(0) != scripted.state_hash(0)
    with pytest.raises(MismatchError, match="cannot be restored"):
        plain.restore(scripted.snapshot())


def test_no_unit_freezes_before_a_wall_on_the_way_to_a_colossus_on_the_cliff() -> None:
    ways = maps.load("2c_vs_64zg").ways
    # From the west end of the wall to a cell on it: first to the middle of the nearest cell that can be stood on.
    assert first_corner(ways, 3.9976, 14.0, 19.2, 13.94) == (19.5, 14.5)
    assert first_corner(ways, 18.5, 14.4, 19.2, 13.94) == (19.2, 13.94)
