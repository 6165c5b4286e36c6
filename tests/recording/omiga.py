"""Golden tables of OG-MARL's variant of smac, used by the OMIGA datasets.

The environment is built with the options of OG-MARL's own wrapper. It differs from smac in the layout of
observations, in a state of its own for every agent ([T, A, S]) and in what `step` returns (rewards and dones per
agent; `dones` is kept). It returns no counts of the dead: they are counted here from its units.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from .smac_v1 import Outcome, Row, SmacRecorder
from .upstream import load_module

_WRAPPER = "og_marl.wrapped_environments.smacv1_omiga"
_WRAPPER_SHA256 = "4b6507c0580596e0fbfcde17df679fae8fd300421338c91a343afb65795c3820"


class OmigaRecorder(SmacRecorder):
    """One environment of instadeepai/og-marl's starcraft2_omiga over the stand-in game."""

    package: ClassVar[str] = "og-marl omiga"
    commit: ClassVar[str] = "f4eb8f0"
    module: ClassVar[str] = "og_marl.custom_environments.starcraft2_omiga.StarCraft2_Env"
    sha256: ClassVar[str] = "48504e6bc4369dabb49249f94657671693f27f5488272eb6da43876b2a41bbec"

    def _make(self, module: Any) -> Any:
        self.wrapper_options = load_module(_WRAPPER, _WRAPPER_SHA256).OmigaConf(
            map_name=self.recording.map_name
        )
        return module.StarCraft2Env(args=self.wrapper_options, seed=0, **self.recording.options)

    def _step(self, actions: npt.NDArray[np.int16]) -> Outcome:
        episodes = self.env._episode_count
        _, _, rewards, dones, infos, _ = self.env.step(actions)
        dead = [
            sum(unit.health == 0 for unit in side.values()) for side in (self.env.agents, self.env.enemies)
        ]
        return Outcome(
            reward=float(rewards[0][0]),
            terminated=self.env._episode_count > episodes,
            won=bool(infos[0]["won"]),
            more={
                "dead_allies": np.int16(dead[0]),
                "dead_enemies": np.int16(dead[1]),
                "dones": np.asarray(dones, dtype=np.bool_),
            },
        )

    def _observed(self, t: int) -> Row:
        states = [self.env.get_state_agent(agent) for agent in range(self.n_agents)]
        return {"obs": self._observations(), "state": np.array(states, dtype=np.float32)}

    def _sizes(self) -> Row:
        return {
            "obs_size_reported": int(self.env.get_obs_size()[0]),
            "state_size_reported": int(self.env.get_state_size()[0]),
        }

    def meta(self) -> Row:
        """Description of the file, with the wrapper's options under `wrapper_options`."""
        return {**super().meta(), "wrapper_options": asdict(self.wrapper_options)}
