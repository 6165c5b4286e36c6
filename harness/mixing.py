"""Teams whose agents come from several teams."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from env_adapters.api import ActionArray, BoolArray, FloatArray, IntArray, TeamPolicy
from env_adapters.errors import InvalidValueError


class MixedTeam:
    """A `TeamPolicy` in which agent i is agent i of `teams[seats[i]]`.

    Every team that has a seat lives through all games with all agents, on arrays of its own; only the agents that
    have a seat act. An agent thus plays exactly as it would in its own team, given the same views.

    Args:
        teams: policies of the same world and number of games.
        seats: for each of the N agents the index of its team.

    Raises:
        InvalidValueError: a seat names no team.
    """

    def __init__(self, teams: Sequence[TeamPolicy], seats: Sequence[int]) -> None:
        self.teams, self.seats = tuple(teams), tuple(seats)
        for agent, seat in enumerate(self.seats):
            if not 0 <= seat < len(self.teams):
                raise InvalidValueError(
                    f"agent {agent} is of team {seat}, but there are {len(self.teams)} teams"
                )
        self._seated = [np.flatnonzero(np.array(self.seats) == team) for team in range(len(self.teams))]

    def begin(self, episode_seeds: IntArray, games: IntArray) -> None:
        """Start episodes in every team that has a seat."""
        for team, seated in zip(self.teams, self._seated, strict=True):
            if len(seated):
                team.begin(episode_seeds, games)

    def act(self, observations: FloatArray, available_actions: BoolArray | None) -> ActionArray:
        """[B, N, D] and [B, N, A] to int64[B, N] or float32[B, N, A]."""
        actions: ActionArray | None = None
        for team, seated in zip(self.teams, self._seated, strict=True):
            if len(seated):
                masks = None if available_actions is None else available_actions.copy()
                chosen = team.act(observations.copy(), masks)
                if actions is None:
                    actions = chosen.copy()
                actions[:, seated] = chosen[:, seated]
        assert actions is not None
        return actions
