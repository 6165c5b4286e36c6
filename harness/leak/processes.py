"""The strongest form: every agent alone in a process of its own, which is sent this agent's views and nothing else."""

from __future__ import annotations

import multiprocessing
import os
import sys
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import NamedTuple

import numpy as np

from agents.generators import episode_generator
from agents.policies import ask, checked_action
from env_adapters import scenarios
from env_adapters.api import ActionArray, AgentView, BoolArray, FloatArray, TeamSpec
from env_adapters.errors import AgentError
from env_adapters.rollout import Episode
from harness.leak.histories import Trace, bits, recorded
from harness.leak.ledger import Ledger
from harness.leak.report import Finding
from harness.team import Team, TeamSource, load_team


class _Errand(NamedTuple):
    """Everything that one process is told."""

    source: TeamSource
    spec: TeamSpec
    agent_index: int
    episode_seed: int
    observations: FloatArray
    """[T, D]"""
    masks: BoolArray | None
    """[T, A]"""


def check_processes(team: Team, episode: Episode) -> tuple[Finding, ...]:
    """Play one recorded episode again with every agent in a new process of its own.

    Each process loads the team's source itself and is sent the views of one agent, so memory cannot be shared;
    equal actions at every step mean that the same episode would have been played. Two agents that leave each other
    messages outside of memory, such as in a file, can still do so.

    Args:
        team: who played; processes are given its `source`.
        episode: recorded with transitions.

    Returns:
        The first difference of each agent.

    Raises:
        AgentError: a process died.
        HarnessError: the agent's code failed.
    """
    ledger = Ledger(team.spec.n_agents)
    ledger.begin(episode)
    errands = [_errand(team, episode, i) for i in range(team.spec.n_agents)]
    context = multiprocessing.get_context("spawn")
    workers = min(len(errands), os.cpu_count() or 1)
    with ProcessPoolExecutor(workers, context, max_tasks_per_child=1) as pool:
        try:
            actions = list(pool.map(_alone, errands))
        except BrokenProcessPool as error:
            raise AgentError(f"a process in which one agent of '{team.name}' played alone died") from error
    together = Trace(bits(np.stack(actions, axis=1))[:, None], None)
    everyone = np.ones((1, team.spec.n_agents), dtype=np.bool_)
    ledger.compare("process", "it was alone in a process", recorded(episode), together, everyone)
    return ledger.report().findings


def _errand(team: Team, episode: Episode, agent_index: int) -> _Errand:
    masks = [mask[agent_index] for mask in episode.available_actions[:-1]]
    return _Errand(
        team.source,
        team.spec,
        agent_index,
        episode.seed,
        np.stack([observation[agent_index] for observation in episode.observations[:-1]]),
        np.stack(masks) if masks else None,
    )


def _alone(errand: _Errand) -> ActionArray:
    """Actions [T] or [T, A] of one agent; runs in its process."""
    spec, i, masks = errand.spec, errand.agent_index, errand.masks
    actions, memory, rng = [], None, episode_generator(errand.episode_seed, i)
    policy = load_team(scenarios.find(spec.scenario).name, spec, errand.source).policy(i)
    torch = sys.modules.get("torch")  # absent where the agent's code does without
    if torch is not None:
        torch.set_num_threads(1)
    for t, observation in enumerate(errand.observations):
        mask = None if masks is None else masks[t]
        view = AgentView(observation, mask, i, t)
        handed = view._replace(
            observation=observation.copy(), available_actions=None if mask is None else mask.copy()
        )
        action, memory = ask(policy, handed, memory, rng)
        actions.append(checked_action(action, view, spec))
    joint: ActionArray = np.stack(actions)  # type: ignore[assignment]
    return joint
