"""Every scenario of the table keeps the contract of `env_adapters.api`."""

from __future__ import annotations

import pytest

from env_adapters import scenarios
from env_adapters.api import DecentralizedEnv
from env_adapters.conformance import check_adapter, check_vector_adapter
from env_adapters.errors import MissingExtraError

NAMES = [
    "3m",
    "5m_vs_6m",
    "2s3z",
    "MMM2",
    "corridor",
    "2c_vs_64zg",
    "terran_5_vs_5",
    "protoss_10_vs_11_conic",
    "zerg_5_vs_5_epo",
    "6halfcheetah",
]
"""One scenario of each kind; `test_the_table_agrees_with_the_world` builds them all."""


def make(name: str) -> DecentralizedEnv:
    """One world; skips the test where an optional package is missing."""
    try:
        return scenarios.make(name)
    except MissingExtraError as error:
        pytest.skip(str(error))


def foreign_snapshot(name: str) -> bytes:
    """A snapshot of another scenario, of the same family where there is one."""
    family = scenarios.find(name).family
    others = sorted(set(NAMES) - {name}, key=lambda other: scenarios.find(other).family != family)
    with make(others[0]) as env:
        env.reset(1)
        return env.snapshot()


@pytest.mark.parametrize("name", NAMES)
def test_a_world_keeps_the_contract(name: str) -> None:
    check_adapter(lambda: make(name), foreign=foreign_snapshot(name))


@pytest.mark.parametrize("name", NAMES)
def test_a_batch_plays_as_single_worlds_do(name: str) -> None:
    check_vector_adapter(lambda n_games: scenarios.make_vector(name, n_games), lambda: make(name))


@pytest.mark.parametrize("name", sorted(scenarios.SCENARIOS))
def test_the_table_agrees_with_the_world(name: str) -> None:
    row = scenarios.find(name)
    with make(name) as env:
        assert (env.spec.scenario, env.spec.n_agents, env.spec.episode_limit) == (
            row.id,
            row.n_agents,
            row.episode_limit,
        )
