"""Robots of one kind, stepped together: the vocabulary of `env_adapters.api` around a simulation.

See adapter.py for the flavours.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from env_adapters.api import (
    ActionArray,
    AgentView,
    DoubleArray,
    FloatArray,
    IntArray,
    RenderState,
    Step,
    TeamSpec,
    VectorEnv,
    VectorStep,
    check_action_form,
    check_episode_seeds,
)
from env_adapters.errors import ActionError, InvalidValueError, MismatchError, UnknownNameError
from env_adapters.mamujoco.actions import check_out_of_range, in_single_precision
from env_adapters.mamujoco.kernels import CLIP, PASS, REFUSE, look, pay, steer
from env_adapters.mamujoco.legacy import engine_id, load_model
from env_adapters.mamujoco.quiet import PENDING, collect_warnings, report_pending
from env_adapters.mamujoco.robots import FLAVOURS, OMIGA, ROBOTICS_PREFIX, ROBOTS, DatasetTeam
from env_adapters.mamujoco.rules import DYNAMICS, RULES, rules_array
from env_adapters.mamujoco.simulation import STATE, BatchSimulation, LoopSimulation, Simulation
from env_adapters.snapshots import check_arrays, digest, pack, unpack

_MODES: Final = {"clip": CLIP, "error": REFUSE, "upstream": PASS}


class MujocoVectorEnv(VectorEnv):
    """B robots of one kind.

    Args:
        scenario_id: versioned id that results carry.
        team: the robot and how it is split.
        n_games: B.
        layout: flavour, one of `FLAVOURS`.
        out_of_range: one of `actions.OUT_OF_RANGE`.
        n_threads: threads that share the robots of one call; results do not depend on it.

    Raises:
        UnknownNameError: no such layout.
        MismatchError: a layout of gymnasium-robotics' partitions.
        InvalidValueError: another value makes no sense.
    """

    def __init__(
        self,
        scenario_id: str,
        team: DatasetTeam,
        n_games: int,
        layout: str = OMIGA,
        out_of_range: str = "clip",
        n_threads: int = 1,
    ) -> None:
        if layout not in FLAVOURS:
            kind = MismatchError if str(layout).startswith(ROBOTICS_PREFIX) else UnknownNameError
            raise kind(
                f"map '{scenario_id.rsplit('-v', 1)[0]}' cannot be played in layout '{layout}'; its layouts: {', '.join(FLAVOURS)}"
            )
        check_out_of_range(out_of_range)
        if not isinstance(n_threads, int) or n_threads < 1:
            raise InvalidValueError(f"n_threads is {n_threads!r}; give a whole number of at least 1")
        self._made_from = (scenario_id, team, n_games, layout, out_of_range, n_threads)
        self.n_games = n_games
        self._out_of_range = out_of_range
        self._mode = _MODES[out_of_range]
        self._rules, self._dynamics = RULES[layout, team.task], DYNAMICS[team.task]
        self._rules_array = rules_array(self._rules)
        self._simulation = self._simulate(team.task, n_threads)
        self._actuator = np.array([index for part in team.split for index in part], dtype=np.int64)
        self._features = np.zeros((n_games, self._n_features()))
        self.spec = self._specify(scenario_id, team, layout)
        self._commands = np.zeros((n_games, self._simulation.commands.shape[1]), dtype=np.float32)
        self._x_before = np.zeros(n_games)
        self._observations = np.zeros((n_games, self.spec.n_agents, self.spec.observation_size), np.float32)
        self._running = np.zeros(n_games, dtype=np.bool_)
        self._n_running = 0
        self._begun = np.zeros(n_games, dtype=np.bool_)
        self._ready = False
        self._steps = np.zeros(n_games, dtype=np.int64)
        self._terminated = np.zeros(n_games, dtype=np.bool_)
        self._rewards = np.zeros(n_games)

    def _simulate(self, task: str, n_threads: int) -> Simulation:
        legacy, dynamics, n = self._rules.legacy, self._dynamics, self.n_games
        self._model = load_model(ROBOTS[task], legacy)
        collect_warnings()
        computes_contact = dynamics.n_contact > 0 and not legacy
        arguments = (self._model, n, dynamics.frame_skip, n_threads, dynamics.n_contact)
        if n == 1 or computes_contact:
            return LoopSimulation(*arguments, computes_contact)
        return BatchSimulation(*arguments)

    def _n_features(self) -> int:
        sim, rules = self._simulation, self._rules
        n_contact = max(sim.contact.shape[1] - rules.first_contact, 0)
        return sim.qpos.shape[1] - rules.first_position + sim.qvel.shape[1] + n_contact

    def _specify(self, scenario_id: str, team: DatasetTeam, layout: str) -> TeamSpec:
        n_agents, n_features = len(team.split), self._features.shape[1]
        return TeamSpec(
            scenario=scenario_id,
            layout=layout,
            engine=engine_id(layout),
            n_agents=n_agents,
            observation_size=n_features + (n_agents if self._rules.legacy else 0),
            state_size=n_features,
            action_kind="continuous",
            action_size=len(team.split[0]),
            episode_limit=ROBOTS[team.task].episode_limit,
            has_win=False,
        )

    def reset(self, episode_seeds: IntArray, games: IntArray | None = None) -> VectorStep:
        """Start one episode per seed (0 or more) in `games` (default: all); InvalidValueError for another seed."""
        chosen = np.arange(self.n_games) if games is None else games
        seeds = check_episode_seeds(episode_seeds, len(chosen))
        if (seeds < 0).any():
            raise InvalidValueError(f"episode seed {seeds.min()} is negative; give 0 or more")
        if len(chosen):
            draw, model = self._dynamics.start.draw, self._model
            poses = [draw(model.qpos0, model.nv, int(seed)) for seed in seeds]
            self.place(chosen, *map(np.stack, zip(*poses, strict=True)))
        return self._result()

    def place(self, games: IntArray, qpos: DoubleArray, qvel: DoubleArray) -> None:
        """Start episodes in games [G] from poses [G, nq] and velocities [G, nv], for recorded beginnings.

        Raises:
            InvalidValueError: numbers that are not finite.
        """
        if not (np.isfinite(qpos).all() and np.isfinite(qvel).all()):
            raise InvalidValueError("the pose of a game is not finite; give finite numbers")
        simulation = self._simulation
        simulation.start(games, qpos, qvel)
        x = simulation.torso_x if self._rules.torso_speed else simulation.qpos[:, 0]
        self._x_before[games] = x[games]
        self._steps[games], self._rewards[games], self._terminated[games] = 0, 0.0, False
        self._running[games] = self._begun[games] = True
        self._n_running, self._ready = int(self._running.sum()), bool(self._begun.all())
        self.look()

    def step(self, joint_actions: ActionArray) -> VectorStep:
        """Advance by float32[B, N, A]; numbers outside [-1, 1] as `out_of_range` says.

        Raises:
            ActionError: wrong shape or type, a number that is not finite, or no episode started.
        """
        self.advance(joint_actions)
        return self._result()

    def advance(self, joint_actions: ActionArray) -> None:
        """What `step` does, without building its result."""
        spec, simulation, running = self.spec, self._simulation, self._running
        if not self._ready:
            raise ActionError(f"no episode of {spec.scenario}: reset every game before stepping")
        actions: FloatArray = np.asarray(joint_actions)
        expected = (self.n_games, spec.n_agents, spec.action_size)
        if actions.dtype != np.float32 or actions.shape != expected or not actions.flags.c_contiguous:
            check_action_form(joint_actions, spec, self.n_games)
            wrong = np.flatnonzero(~(np.abs(actions) <= (1.0 if self._mode == REFUSE else np.finfo("d").max)))
            if wrong.size:
                raise self._refusal(actions, int(wrong[0]))
            actions = in_single_precision(actions, self._out_of_range)
        rules, commands = self._rules_array, self._commands
        bad = steer(rules, actions, running, self._actuator, self._mode, commands, simulation.commands)
        if bad >= 0:
            raise self._refusal(actions, bad)
        if self._n_running:
            simulation.step(None if self._n_running == self.n_games else np.flatnonzero(running))
        self._n_running = pay(
            rules,
            spec.episode_limit,
            commands,
            simulation.qpos,
            simulation.qvel,
            simulation.torso_x,
            simulation.contact,
            self._x_before,
            running,
            self._steps,
            self._terminated,
            self._rewards,
        )
        self.look()
        if PENDING:
            report_pending()

    def _refusal(self, actions: FloatArray, index: int) -> ActionError:
        game, rest = divmod(index, self._actuator.size)
        agent, component = divmod(rest, self.spec.action_size)
        value = actions[game, agent, component]
        why = "is not finite" if not np.isfinite(value) else "is outside [-1, 1]"
        where = "" if self.n_games == 1 else f" in game {game}"
        return ActionError(
            f"action of agent {agent}{where} of {self.spec.scenario} at step {self._steps[game]} "
            f"{why}: component {component} is {value}"
        )

    def _result(self) -> VectorStep:
        return VectorStep(
            self._observations.copy(),
            None,
            self._rewards.copy(),
            self._terminated.copy(),
            self._begun & ~self._running & ~self._terminated,
            {"steps": self._steps.copy()},
        )

    def single(self, agents: tuple[int, ...], masks: tuple[None, ...]) -> Step:
        """Game 0 as a single world's step."""
        steps, terminated = int(self._steps[0]), bool(self._terminated[0])
        views = tuple(map(AgentView, self._observations[0].copy(), masks, agents, (steps,) * len(agents)))
        truncated = not (terminated or self._n_running)
        return Step(views, float(self._rewards[0]), terminated, truncated, {"steps": steps})

    def look(self, out: FloatArray | DoubleArray | None = None) -> None:
        """Fill observations [B, N, D]: the next result's, or `out`, which may be of double precision."""
        sim = self._simulation
        observations = self._observations if out is None else out
        look(self._rules_array, sim.qpos, sim.qvel, sim.contact, self._features, observations)

    def state(self) -> FloatArray:
        """[B, S]: what a single agent driving the whole robot would observe, not standardised."""
        return self._features.astype(np.float32)

    def _future(self) -> dict[str, np.ndarray[Any, Any]]:
        """Everything that decides the future of the games, [B, …] each."""
        saved = [self._simulation.save(game) for game in range(self.n_games)]
        return {name: np.stack([state[name] for state in saved]) for name in STATE} | self._own()

    def _own(self) -> dict[str, np.ndarray[Any, Any]]:
        """The part of it that this class keeps: live arrays."""
        return {
            "x_before": self._x_before,
            "contact": self._simulation.contact,
            "begun": self._begun,
            "steps": self._steps,
            "running": self._running,
            "terminated": self._terminated,
        }

    @property
    def _kind(self) -> str:
        return f"mamujoco, {self.n_games} games, out of range: {self._out_of_range}"

    def snapshot(self) -> bytes:
        """Every game; generators need no place in it, because only a seeded reset draws from one."""
        return pack(self._kind, self.spec, self._future() | {"rewards": self._rewards})

    def restore(self, snapshot: bytes) -> VectorStep:
        """Return to a snapshot of the same scenario, layout, engine, batch size and treatment of actions."""
        stored = unpack(self._kind, self.spec, snapshot)
        check_arrays(stored, self._future() | {"rewards": self._rewards})
        for game in range(self.n_games):
            self._simulation.load(game, {name: stored[name][game] for name in STATE})
        for name, array in (self._own() | {"rewards": self._rewards}).items():
            array[:] = stored[name]
        self._n_running, self._ready = int(self._running.sum()), bool(self._begun.all())
        self.look()
        return self._result()

    def state_hash(self, game: int) -> str:
        """Hex digest of positions, velocities, the solver's warm start, the step and the end of one game."""
        saved = {name: value for name, value in self._simulation.save(game).items() if name != "ctrl"}
        return digest(saved | {name: array[game] for name, array in self._own().items()})

    def render_state(self, game: int) -> RenderState:
        """Joint positions `qpos` [nq] and velocities `qvel` [nv] (metres, radians, seconds), and `step`."""
        simulation = self._simulation
        arrays = {
            "qpos": simulation.qpos[game].copy(),
            "qvel": simulation.qvel[game].copy(),
            "step": np.array(self._steps[game]),
        }
        return RenderState("mujoco", self.spec.scenario, arrays)

    def close(self) -> None:
        """Stop the worker threads; safe to call twice."""
        self._simulation.close()

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (self._made_from, self.snapshot() if self._begun.any() else None)


def _rebuild(made_from: tuple[Any, ...], snapshot: bytes | None) -> MujocoVectorEnv:
    env = MujocoVectorEnv(*made_from)
    if snapshot is not None:
        env.restore(snapshot)
    return env
