"""B simulations of one model, behind one set of arrays: through `mujoco.batch`, or one by one.

Both give the same numbers. One by one is faster for a single world, and the only way to contact forces, which
`mujoco.batch` does not compute as Gymnasium does.
"""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, Protocol

import mujoco
import numpy as np

from env_adapters.api import DoubleArray, IntArray

STATE: Final = ("qpos", "qvel", "qacc_warmstart", "ctrl")
"""Fields that decide the future of these robots: they have no activations, mocap bodies or applied forces. `ctrl` is
overwritten by the next step."""


class Simulation(Protocol):
    """B simulations. Arrays are live: writing to `commands` steers, and a step refreshes the others."""

    qpos: DoubleArray
    """[B, nq], metres or radians."""
    qvel: DoubleArray
    """[B, nv], metres or radians per second."""
    commands: DoubleArray
    """[B, nu], control signals."""
    torso_x: DoubleArray
    """[B], x of the first body in metres, one physics step behind the joints after a step."""
    contact: DoubleArray
    """[B, 6 W], external forces on the W bodies, clipped to [-1, 1]; zeros where they are not computed."""

    def start(self, games: IntArray, qpos: DoubleArray, qvel: DoubleArray) -> None:
        """Reset some simulations [G] to poses [G, nq] with velocities [G, nv]."""

    def step(self, games: IntArray | None) -> None:
        """Advance some simulations, or all, by one environment step."""

    def save(self, game: int) -> Mapping[str, DoubleArray]:
        """Copies of the fields `STATE`."""

    def load(self, game: int, state: Mapping[str, DoubleArray]) -> None:
        """Put back what `save` gave."""

    def close(self) -> None:
        """Stop worker threads; safe to call twice."""


class BatchSimulation:
    """Through `mujoco.batch.Batch`, stepped in C without the interpreter lock."""

    def __init__(
        self, model: mujoco.MjModel, n_games: int, frame_skip: int, n_threads: int, n_contact: int
    ) -> None:
        from mujoco.batch import Batch

        # Threads beyond the number of games would only wait.
        self._batch = Batch(model, n_games, min(n_threads, n_games))
        self._frame_skip = frame_skip
        self._fields = {name: self._batch.bind(name) for name in STATE}
        self._bodies = self._batch.bind("xpos")
        # Contiguous copies: the batch's own are columns of its state rows.
        self.qpos, self.qvel, _, self.commands = (array.copy() for array in self._fields.values())
        self.torso_x = np.zeros(n_games)
        self.contact = np.zeros((n_games, n_contact))

    def start(self, games: IntArray, qpos: DoubleArray, qvel: DoubleArray) -> None:
        """As `Simulation.start`."""
        self._batch.reset(games, stage=mujoco.mjtStage.mjSTAGE_NONE)
        self._fields["qpos"][games], self._fields["qvel"][games] = qpos, qvel
        self._batch.forward(games)
        self._read(games)

    def step(self, games: IntArray | None) -> None:
        """As `Simulation.step`."""
        self._fields["ctrl"][:] = self.commands
        self._batch.step(games, nstep=self._frame_skip)
        self._read()

    def _read(self, games: int | IntArray | slice = slice(None)) -> None:
        self.qpos[games], self.qvel[games] = self._fields["qpos"][games], self._fields["qvel"][games]
        self.torso_x[games] = self._bodies[games, 1, 0]

    def save(self, game: int) -> Mapping[str, DoubleArray]:
        """As `Simulation.save`."""
        return {name: array[game].copy() for name, array in self._fields.items()}

    def load(self, game: int, state: Mapping[str, DoubleArray]) -> None:
        """As `Simulation.load`."""
        self._batch.reset([game], stage=mujoco.mjtStage.mjSTAGE_NONE)
        for name in STATE:
            self._fields[name][game] = state[name]
        self._read(game)

    def close(self) -> None:
        """As `Simulation.close`: the batch's threads end with it."""


class LoopSimulation:
    """One `MjData` per simulation; several threads share the simulations of a call."""

    def __init__(
        self,
        model: mujoco.MjModel,
        n_games: int,
        frame_skip: int,
        n_threads: int,
        n_contact: int,
        computes_contact: bool,
    ) -> None:
        self._model, self._frame_skip, self._computes_contact = model, frame_skip, computes_contact
        self._data = [mujoco.MjData(model) for _ in range(n_games)]
        self._views = [tuple(getattr(data, name) for name in STATE) for data in self._data]
        self._torsos = [data.xpos[1:2, 0] for data in self._data]
        self._forces = [data.cfrc_ext.reshape(-1) for data in self._data]
        # The arrays of a single world are those of its MjData, so that nothing is copied.
        self.qpos, self.qvel, _, self.commands = (
            self._views[0][i][None] if n_games == 1 else np.zeros((n_games, self._views[0][i].size))
            for i in range(len(STATE))
        )
        self.torso_x = self._torsos[0] if n_games == 1 else np.zeros(n_games)
        self.contact = np.zeros((n_games, n_contact))
        self._shared = n_games == 1
        n_threads = min(n_threads, n_games)
        self._pool = ThreadPoolExecutor(n_threads) if n_threads > 1 else None
        self._n_threads = n_threads

    def start(self, games: IntArray, qpos: DoubleArray, qvel: DoubleArray) -> None:
        """As `Simulation.start`."""
        for game, positions, velocities in zip(games.tolist(), qpos, qvel, strict=True):
            data = self._data[game]
            mujoco.mj_resetData(self._model, data)
            data.qpos[:], data.qvel[:] = positions, velocities
            mujoco.mj_forward(self._model, data)
            self._read(game)

    def step(self, games: IntArray | None) -> None:
        """As `Simulation.step`."""
        chosen = range(len(self._data)) if games is None else games.tolist()
        if self._pool is None:
            self._step_some(chosen)
        else:
            parts = [chosen[i :: self._n_threads] for i in range(self._n_threads)]
            list(self._pool.map(self._step_some, parts))

    def _step_some(self, games: Any) -> None:
        for game in games:
            data = self._data[game]
            if not self._shared:
                self._views[game][3][:] = self.commands[game]
            mujoco.mj_step(self._model, data, self._frame_skip)
            if self._computes_contact:
                mujoco.mj_rnePostConstraint(self._model, data)  # as Gymnasium; changes nothing but forces
            self._read(game)

    def _read(self, game: int) -> None:
        if not self._shared:
            self.qpos[game], self.qvel[game], _, self.commands[game] = self._views[game]
            self.torso_x[game] = self._torsos[game][0]
        if self._computes_contact:
            np.clip(self._forces[game], -1.0, 1.0, out=self.contact[game])

    def save(self, game: int) -> Mapping[str, DoubleArray]:
        """As `Simulation.save`."""
        return {name: view.copy() for name, view in zip(STATE, self._views[game], strict=True)}

    def load(self, game: int, state: Mapping[str, DoubleArray]) -> None:
        """As `Simulation.load`."""
        mujoco.mj_resetData(self._model, self._data[game])
        for name, view in zip(STATE, self._views[game], strict=True):
            view[:] = state[name]
        self._read(game)

    def close(self) -> None:
        """As `Simulation.close`."""
        if self._pool is not None:
            self._pool.shutdown()
            self._pool = None
