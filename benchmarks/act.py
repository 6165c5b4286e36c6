"""`harness bench act`: one action of the offline agents, against plain NumPy with the same weights and each other.

One CPU thread, the shapes of 5m_vs_6m, untrained networks of the papers' sizes. An action is everything from one agent's
view to its action, by the policy that plays in a process of its own: noise, network, mask. What is compared is measured
alternately, in processor time, so that a busy machine meets all of it alike.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import cycle
from math import pi, sqrt
from typing import Final, NamedTuple

import numpy as np

from agents.acting import BatchedTeam, DecentralizedPolicy
from agents.api import Agent, Params
from agents.checkpoints import initial
from agents.generators import episode_generator
from agents.registry import default_config
from agents.trajectories import TrajectoryConfig
from benchmarks.measurement import TURN_S, Measurement, Steps, in_turns, make_report, ratios
from env_adapters import scenarios
from env_adapters.api import AgentView, BoolArray, FloatArray, TeamSpec
from env_adapters.bounds import check_at_least
from harness.commands.bench import Report
from harness.jobs import one_torch_thread
from harness.progress import Say

_MAP: Final = "5m_vs_6m"
_AGENTS: Final = ("vgm2p", "vgm2p-fm", "mac-flow", "bc-meanflow", "bc-flow", "bc-categorical", "bc-diffusion")
_SLOW: Final = "madiff-released"
_SLOW_ACTIONS: Final = 3
"""Of the slow agent, per measurement of the others at most one."""
_GAMES: Final = 64
"""Teams of five that act in one call: 320 rows."""
_OF_NUMPY: Final = 1.3
_OF_TEN_STEPS: Final = 9.0
_OF_DIFFUSION: Final = 100.0


@dataclass(frozen=True)
class Config:
    """What to measure."""

    quick: bool = False
    """A few actions of small networks: shows that everything runs, its numbers are no results."""
    json: bool = False
    """Print the report as JSON."""
    repetitions: int = 7
    """How often each quantity is measured; the table shows the median."""

    def __post_init__(self) -> None:
        """Reject counts below one."""
        check_at_least("--repetitions", self.repetitions, 1)


class _Seen(NamedTuple):
    """What the agents of some teams see, made up."""

    observations: FloatArray
    """[B, N, D]"""
    masks: BoolArray
    """[B, N, A]"""


def run(config: Config, say: Say) -> Report:
    """Measure; one row per quantity."""
    with scenarios.make_vector(_MAP, 1) as env:
        spec = env.spec
    seen = _look(spec, 2 if config.quick else _GAMES)
    with one_torch_thread():
        say("one agent, one action ...")
        rows = _single(config, spec, seen)
        say(f"{len(seen.masks) * spec.n_agents} rows in one call ...")
        rows += _batched(config, spec, seen)
        say(f"{_SLOW} ...")
        rows += _slow(config, spec, seen)
    notes = [
        f"{_MAP}: {spec.observation_size} numbers and {spec.action_size} actions; 4 x 512, untrained; one CPU thread; "
        "processor time, turn by turn; ratios are of the same turn",
        "one action: from an agent's view to its action, noise and mask included",
        "NumPy: the same weights, noise and mask in as few calls as it takes, and no harness around them",
        "a flow of 10 steps costs 10 passes of the network, but only once what is around them: the ratio is below 10",
    ]
    return make_report("act", config.quick, rows, notes)


def _look(spec: TeamSpec, n_games: int) -> _Seen:
    rng = np.random.default_rng(0)
    observations = rng.standard_normal((n_games, spec.n_agents, spec.observation_size), dtype=np.float32)
    masks = rng.random((n_games, spec.n_agents, spec.action_size)) < 0.5
    masks[..., 1] = True
    return _Seen(observations, masks)


def _made(config: Config, name: str, spec: TeamSpec) -> tuple[Agent, Params]:
    how = default_config(name)
    if config.quick and isinstance(how, TrajectoryConfig):
        how = replace(how, channels=(16, 32), embedding=8, sampling_steps=2)
    elif config.quick:
        how = replace(how, hidden=(32, 32))
    made = initial(name, how, spec, 0)
    return made.agent, made.params


def _views(spec: TeamSpec, seen: _Seen) -> Iterator[AgentView]:
    views = [
        AgentView(seen.observations[game, i], seen.masks[game, i], i, 0)
        for game in range(len(seen.masks))
        for i in range(spec.n_agents)
    ]
    return cycle(views)


def _repeated(act: Callable[[], object]) -> Steps:
    def steps(n: int) -> None:
        for _ in range(n):
            act()

    return steps


def one_action(agent: Agent, params: Params, views: Iterator[AgentView]) -> Callable[[], object]:
    """The next view's action, by a decentralised policy without memory."""
    policy, rng = DecentralizedPolicy(agent, params), episode_generator(0, 0)
    return lambda: policy.act(next(views), None, rng)[0]


def plain_numpy(params: Params, spec: TeamSpec, views: Iterator[AgentView]) -> Callable[[], object]:
    """The same action of VGM2P in plain NumPy: one step from noise under the token of good actions."""
    n_layers = sum(name.startswith("velocity.") for name in params) // 2
    layers = [
        tuple(np.ascontiguousarray(params[f"velocity.{i}.{part}"].numpy()) for part in ("weight", "bias"))
        for i in range(n_layers)
    ]
    rng, identity = episode_generator(0, 0), np.eye(spec.n_agents, dtype=np.float32)
    token, times = np.array([0.0, 1.0], dtype=np.float32), np.array([0.0, 1.0], dtype=np.float32)
    slope, cubic, half = np.float32(sqrt(2.0 / pi)), np.float32(0.044715), np.float32(0.5)

    def act() -> object:
        view = next(views)
        noise = rng.standard_normal(spec.action_size, dtype=np.float32)
        x = np.concatenate([identity[view.agent_index], view.observation, token, noise, times])
        for i, (weight, bias) in enumerate(layers):
            x = weight @ x + bias
            if i < n_layers - 1:
                x = half * x * (1 + np.tanh(slope * (x + cubic * x * x * x)))
        assert view.available_actions is not None
        return np.where(view.available_actions, noise - x, -np.inf).argmax()

    return act


def _single(config: Config, spec: TeamSpec, seen: _Seen) -> list[Measurement]:
    """One agent at a time."""
    contenders = {}
    for name in _AGENTS:
        agent, params = _made(config, name, spec)
        contenders[name] = _repeated(one_action(agent, params, _views(spec, seen)))
        if name == "vgm2p":
            contenders["NumPy"] = _repeated(plain_numpy(params, spec, _views(spec, seen)))
            rng, mode = episode_generator(0, 0), agent.act_modes[0]
            contenders["its noise"] = _repeated(lambda a=agent, g=rng, m=mode: a.draw_noise(g, m))  # type: ignore[misc]
    found = _measured(config, contenders)
    ours = found["vgm2p"]
    return [
        *(Measurement(f"one action: {name}", "us", [1e6 * s for s in found[name]]) for name in contenders),
        Measurement("one action: vgm2p / NumPy", "x", ratios(ours, found["NumPy"]), _OF_NUMPY, True),
        Measurement("one action: vgm2p-fm / vgm2p", "x", ratios(found["vgm2p-fm"], ours), _OF_TEN_STEPS),
    ]


def _batched(config: Config, spec: TeamSpec, seen: _Seen) -> list[Measurement]:
    """All agents of many teams in one call."""
    n_games, n_agents = seen.masks.shape[:2]
    contenders = {}
    for name in _AGENTS:
        team = BatchedTeam(*_made(config, name, spec), n_games)
        team.begin(np.arange(n_games), np.arange(n_games))
        contenders[name] = _repeated(lambda t=team: t.act(seen.observations, seen.masks))  # type: ignore[misc]
    found = _measured(config, contenders)
    rows = n_games * n_agents
    ratio = ratios(found["vgm2p-fm"], found["vgm2p"])
    return [
        *(
            Measurement(f"{rows} rows: {name}", "actions/s", [rows / s for s in found[name]])
            for name in contenders
        ),
        Measurement(f"{rows} rows: vgm2p-fm / vgm2p", "x", ratio, _OF_TEN_STEPS),
    ]


def _slow(config: Config, spec: TeamSpec, seen: _Seen) -> list[Measurement]:
    """Diffusion of trajectories against one step."""
    repetitions = min(_SLOW_ACTIONS, config.repetitions)
    contenders = {
        name: _repeated(one_action(*_made(config, name, spec), _views(spec, seen)))
        for name in (_SLOW, "vgm2p")
    }
    found = _measured(config, contenders, repetitions)
    ratio = ratios(found[_SLOW], found["vgm2p"])
    return [
        Measurement(f"one action: {_SLOW}", "ms", [1e3 * s for s in found[_SLOW]]),
        Measurement(f"one action: {_SLOW} / vgm2p", "x", ratio, _OF_DIFFUSION),
    ]


def _measured(
    config: Config, contenders: dict[str, Steps], repetitions: int | None = None
) -> dict[str, list[float]]:
    n, turn_s = (2, 0.0) if config.quick else (repetitions or config.repetitions, TURN_S)
    return in_turns(contenders, n, turn_s)
