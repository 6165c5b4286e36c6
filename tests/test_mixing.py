"""Teams whose agents come from several teams."""

from __future__ import annotations

import numpy as np
import pytest

from env_adapters.api import ActionArray, BoolArray, FloatArray, IntArray
from env_adapters.errors import InvalidValueError
from harness.mixing import MixedTeam


class Tells:
    """Acts with its own number plus a hundred times the agent; spoils what it is handed."""

    def __init__(self, number: int) -> None:
        self.number, self.begun, self.saw = number, 0, np.zeros(0)

    def begin(self, episode_seeds: IntArray, games: IntArray) -> None:
        self.begun += 1

    def act(self, observations: FloatArray, available_actions: BoolArray | None) -> ActionArray:
        self.saw = observations.copy()
        observations[:] = -1.0
        if available_actions is not None:
            available_actions[:] = False
        n_games, n_agents = observations.shape[:2]
        return np.tile(np.arange(n_agents) * 100 + self.number, (n_games, 1))


def test_every_seat_is_played_by_its_team() -> None:
    team = MixedTeam([Tells(1), Tells(2), Tells(3)], [2, 0, 0, 1])
    team.begin(np.array([5, 6]), np.arange(2))
    actions = team.act(np.zeros((2, 4, 3), dtype=np.float32), None)
    np.testing.assert_array_equal(actions, [[3, 101, 201, 302]] * 2)


def test_no_team_can_write_into_what_another_or_the_world_sees() -> None:
    teams = [Tells(1), Tells(2)]
    observations, masks = np.ones((1, 2, 3), dtype=np.float32), np.ones((1, 2, 4), dtype=np.bool_)
    MixedTeam(teams, [0, 1]).act(observations, masks)
    assert (teams[1].saw == 1.0).all() and (observations == 1.0).all() and masks.all()


def test_a_team_without_a_seat_is_left_alone() -> None:
    idle = Tells(9)
    team = MixedTeam([Tells(1), idle], [0, 0])
    team.begin(np.array([5]), np.arange(1))
    team.act(np.zeros((1, 2, 3), dtype=np.float32), None)
    assert idle.begun == 0 and not idle.saw.size


@pytest.mark.parametrize("seats", [[0, 2], [-1, 0]])
def test_a_seat_of_no_team_is_refused(seats: list[int]) -> None:
    with pytest.raises(InvalidValueError, match="there are 2 teams"):
        MixedTeam([Tells(1), Tells(2)], seats)
