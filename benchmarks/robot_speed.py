"""How fast robots are stepped and evaluated, each time beside a peer that does the same work in the same moment."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from time import perf_counter
from typing import Any, NamedTuple

import mujoco
import numpy as np
import torch
from mujoco import rollout

from agents.acting import BatchedTeam
from agents.api import Params
from agents.networks import mlp, mlp_init
from agents.ppo import Ppo, PpoConfig
from env_adapters import scenarios
from env_adapters.api import DoubleArray, FloatArray, IntArray
from env_adapters.errors import HarnessError
from env_adapters.mamujoco.legacy import load_model
from env_adapters.mamujoco.partitions import mamujoco_v1
from env_adapters.mamujoco.quiet import python_warnings
from env_adapters.mamujoco.robots import DATASET_TEAMS, ROBOTS
from env_adapters.mamujoco.rules import DYNAMICS
from env_adapters.mamujoco.world import MujocoVectorEnv
from env_adapters.rollout import play

_HIDDEN = 256
_CANDIDATES = 8
"""Robots tried for each one that races."""


class Pair(NamedTuple):
    """Two rates, or two times, measured one right after the other."""

    ours: float
    peer: float

    @property
    def ratio(self) -> float:
        """Ours over the peer's."""
        return self.ours / self.peer


def _standing(name: str, n_games: int, n_steps: int) -> tuple[IntArray, FloatArray]:
    """Episode seeds [B] and random actions [T, B, N, A] under which no robot falls within T steps.

    Raises:
        HarnessError: too few robots stand.
    """
    pool = _CANDIDATES * n_games
    with scenarios.make_vector(name, pool) as env:
        shape = (n_steps, pool, env.spec.n_agents, env.spec.action_size)
        actions = np.random.default_rng(0).uniform(-1, 1, shape).astype(np.float32)
        env.reset(np.arange(pool))
        for action in actions:
            step = env.step(action)
    standing = np.flatnonzero(~step.ended)[:n_games]
    if len(standing) < n_games:
        raise HarnessError("benchmark stopped: robots fall before the race is over; shorten it")
    return standing, np.ascontiguousarray(actions[:, standing])


class CLimitRace:
    """B robots through the adapter against `mujoco.rollout`, which steps the same physics in C and does nothing else.

    Both start from the same states and apply the same controls; only seeds whose robots stand through all steps
    take part, so that no game is spared.

    Args:
        name: a dataset robot.
        n_games: B.
        n_threads: of both sides.
        n_steps: environment steps of one race.
    """

    def __init__(self, name: str, n_games: int, n_threads: int, n_steps: int) -> None:
        task = DATASET_TEAMS[name].task
        env = scenarios.make_vector(name, n_games, n_threads=n_threads)
        assert isinstance(env, MujocoVectorEnv)
        self._env, self._n_threads, self._n_steps = env, n_threads, n_steps
        self._model = load_model(ROBOTS[task], legacy=True)
        self._seeds, self._actions = _standing(name, n_games, n_steps)
        split = np.concatenate(DATASET_TEAMS[name].split)
        controls = np.zeros((n_games, n_steps, self._model.nu))
        # In single precision, as the omiga flavour passes actions on.
        passed = (self._actions + 1.0) / 2.0 * 2.0 - 1.0
        controls[:, :, split] = passed.reshape(n_steps, n_games, -1).transpose(1, 0, 2)
        self._controls = np.repeat(controls, DYNAMICS[task].frame_skip, axis=1)
        self._states = self._starting_states()
        n_state = self._states.shape[1]
        self._out: DoubleArray = np.zeros((n_games, self._controls.shape[1], n_state))

    def _starting_states(self) -> DoubleArray:
        kind, data = mujoco.mjtState.mjSTATE_FULLPHYSICS, mujoco.MjData(self._model)
        states = np.zeros((self._env.n_games, mujoco.mj_stateSize(self._model, kind)))
        self._env.reset(self._seeds)
        for game, row in enumerate(states):
            arrays = self._env.render_state(game).arrays
            data.qpos[:], data.qvel[:] = arrays["qpos"], arrays["qvel"]
            mujoco.mj_getState(self._model, data, row, kind)
        return states

    def race(self, ours_first: bool) -> Pair:
        """Environment steps per second of both sides."""
        sides: list[Callable[[], float]] = [self._ours, self._peer]
        rates = [side() for side in (sides if ours_first else sides[::-1])]
        return Pair(*(rates if ours_first else rates[::-1]))

    def _ours(self) -> float:
        self._env.reset(self._seeds)
        start = perf_counter()
        for action in self._actions:
            self._env.step(action)
        return self._n_steps * self._env.n_games / (perf_counter() - start)

    def _peer(self) -> float:
        datas = [mujoco.MjData(self._model) for _ in range(self._n_threads)]
        with rollout.Rollout(nthread=self._n_threads) as runner:
            start = perf_counter()
            runner.rollout(self._model, datas, self._states, self._controls, state=self._out)
            elapsed = perf_counter() - start
        return self._n_steps * self._env.n_games / elapsed


def make_upstream(name: str) -> Any:
    """gymnasium-robotics' own environment of a dataset robot, as its documentation builds it."""
    team = DATASET_TEAMS[name]
    with python_warnings():
        return mamujoco_v1.parallel_env(team.task, team.partition, agent_obsk=1)


class SingleRace:
    """One robot through `DecentralizedEnv` against gymnasium-robotics' `mamujoco_v1`, random actions, resets included."""

    def __init__(self, name: str, n_steps: int) -> None:
        self._env, self._upstream, self._n_steps = scenarios.make(name), make_upstream(name), n_steps
        spec = self._env.spec
        shape = (n_steps, spec.n_agents, spec.action_size)
        self._actions: FloatArray = np.random.default_rng(0).uniform(-1, 1, shape).astype(np.float32)
        self._env.reset(0)
        self._env.step(self._actions[0])  # compiles

    def race(self) -> Pair:
        """Environment steps per second of both sides."""
        return Pair(self._ours(), self._peer())

    def _ours(self) -> float:
        env, seed = self._env, 0
        start = perf_counter()
        env.reset(seed)
        for action in self._actions:
            step = env.step(action)
            if step.terminated or step.truncated:
                seed += 1
                env.reset(seed)
        return self._n_steps / (perf_counter() - start)

    def _peer(self) -> float:
        env, seed, names = self._upstream, 0, list(self._upstream.possible_agents)
        start = perf_counter()
        env.reset(seed=seed)
        for action in self._actions:
            env.step(dict(zip(names, action, strict=True)))
            if not env.agents:
                seed += 1
                env.reset(seed=seed)
        return self._n_steps / (perf_counter() - start)


class EvaluationRace:
    """Episodes of HalfCheetah under a policy of two hidden layers of 256, on one torch thread.

    Ours: one shared network, all episodes side by side. The peer: `mamujoco_v1`, one network per agent, one episode
    after the other, as its users write it.
    """

    name = "6halfcheetah"

    def __init__(self, n_episodes: int, n_peer_episodes: int, episode_limit: int) -> None:
        self._n_episodes, self._n_peer, self._limit = n_episodes, n_peer_episodes, episode_limit
        self._env = scenarios.make_vector(self.name, n_episodes)
        agent = Ppo(PpoConfig(hidden=(_HIDDEN, _HIDDEN)), self._env.spec)
        params = agent.init(torch.Generator().manual_seed(0))
        self._policy = BatchedTeam(agent, params, n_episodes, "greedy")
        self._upstream = make_upstream(self.name)
        self._networks = {
            agent: self._network(i, agent) for i, agent in enumerate(self._upstream.possible_agents)
        }

    def _network(self, index: int, agent: str) -> Params:
        sizes = [self._upstream.observation_space(agent).shape[0], _HIDDEN, _HIDDEN, 1]
        return mlp_init("actor", sizes, torch.Generator().manual_seed(index))

    def race(self) -> Pair:
        """Seconds for the episodes of ours; the peer's are scaled from fewer episodes."""
        return Pair(self._ours(), self._peer() * self._n_episodes / self._n_peer)

    def _ours(self) -> float:
        start = perf_counter()
        if self._limit == self._env.spec.episode_limit:
            n_played = len(list(play(self._env, self._policy, range(self._n_episodes))))
            assert n_played == self._n_episodes
        else:
            self._cut_short()
        return perf_counter() - start

    def _cut_short(self) -> None:
        seeds = np.arange(self._n_episodes)
        step = self._env.reset(seeds)
        self._policy.begin(seeds, seeds)
        for _ in range(self._limit):
            step = self._env.step(self._policy.act(step.observations, None))

    def _peer(self) -> float:
        env = self._upstream
        start = perf_counter()
        with torch.no_grad():
            for seed in range(self._n_peer):
                observations, _ = env.reset(seed=seed)
                for _ in range(self._limit):
                    actions = {
                        agent: mlp(self._networks[agent], "actor", torch.from_numpy(seen).float())
                        .clamp(-1, 1)
                        .numpy()
                        for agent, seen in observations.items()
                    }
                    observations, *_ = env.step(actions)
        return perf_counter() - start


def recorded_poses(name: str, n_poses: int) -> DoubleArray:
    """Joint positions [F, nq] of a robot under random actions, for films."""
    with scenarios.make(name) as env:
        return np.stack(list(_poses(env, n_poses)))


def _poses(env: Any, n_poses: int) -> Iterator[DoubleArray]:
    generator = np.random.default_rng(0)
    env.reset(0)
    for seed in range(n_poses):
        step = env.step(
            generator.uniform(-1, 1, (env.spec.n_agents, env.spec.action_size)).astype(np.float32)
        )
        if step.terminated or step.truncated:
            env.reset(seed)
        yield env.render_state().arrays["qpos"]
