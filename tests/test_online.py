"""PPO: advantages and statistics against plain NumPy, seeds, and that it wins."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from agents.acting import BatchedTeam
from agents.online import OnlineConfig, PpoTrainer, Rollout
from agents.ppo import Ppo, PpoConfig
from env_adapters import scenarios
from env_adapters.rollout import play

torch.set_num_threads(1)
SMALL = OnlineConfig(n_games=8, horizon=16, epochs=2, n_minibatches=2)


def trainer(
    seed: int = 0, steps: int = 256, config: OnlineConfig = SMALL, map_name: str = "3m"
) -> PpoTrainer:
    env = scenarios.make_vector(map_name, config.n_games)
    return PpoTrainer(Ppo(PpoConfig(hidden=(32, 32)), env.spec), env, config, seed, steps)


def rollout(rng: np.random.Generator, steps: int, games: int) -> Rollout:
    draw = lambda *shape: torch.from_numpy(rng.standard_normal(shape).astype(np.float32))  # noqa: E731
    terminated = torch.from_numpy((rng.random((steps, games)) < 0.1).astype(np.float32))
    cut = torch.from_numpy((rng.random((steps, games)) < 0.1).astype(np.float32)) * (1 - terminated)
    blank = torch.zeros(0)
    return Rollout(
        inputs=blank,
        states=blank,
        available=None,
        actions=blank,
        log_probs=blank,
        rewards=draw(steps, games),
        values=draw(steps + 1, games),
        ended=terminated + cut,
        cut_values=draw(steps, games) * cut,
    )


def test_advantages_equal_the_definition() -> None:
    subject, data = trainer(), rollout(np.random.default_rng(0), 30, SMALL.n_games)
    result = subject._advantages(data).numpy()
    for game in range(SMALL.n_games):
        for start in range(30):
            expected, weight = 0.0, 1.0
            for t in range(start, 30):
                ended = bool(data.ended[t, game])
                future = float(data.cut_values[t, game]) if ended else float(data.values[t + 1, game])
                delta = float(data.rewards[t, game]) + SMALL.discount * future - float(data.values[t, game])
                expected += weight * delta
                weight *= SMALL.discount * SMALL.gae_lambda
                if ended:
                    break
            assert result[start, game] == pytest.approx(expected, abs=1e-4)


def test_running_statistics_equal_numpy() -> None:
    subject = trainer()
    rng = np.random.default_rng(1)
    parts = [rng.normal(3.0, 2.0, (n, subject.env.spec.state_size)).astype(np.float32) for n in (50, 80, 20)]
    for part in parts:
        subject._track("state", torch.from_numpy(part))
    everything = np.concatenate(parts)
    np.testing.assert_allclose(subject.params["norm.state_mean"], everything.mean(axis=0), rtol=1e-4)
    np.testing.assert_allclose(subject.params["norm.state_std"], everything.std(axis=0), rtol=1e-4)


def test_a_seed_decides_everything() -> None:
    first, second, other = (trainer(seed).train() for seed in (0, 0, 1))
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert any(not torch.equal(first[name], other[name]) for name in first)


def test_continuous_actions_train_too() -> None:
    pytest.importorskip("gymnasium_robotics")
    config = OnlineConfig(n_games=2, horizon=8, epochs=1, n_minibatches=1, normalise_inputs=True)
    subject = trainer(steps=32, config=config, map_name="6halfcheetah")
    before = {name: tensor.detach().clone() for name, tensor in subject.params.items()}
    after = subject.train()
    assert all(torch.isfinite(tensor).all() for tensor in after.values())
    assert not torch.equal(before["actor.0.weight"], after["actor.0.weight"])
    assert not torch.equal(before["log_std"], after["log_std"])
    assert not torch.equal(before["norm.input_std"], after["norm.input_std"])


def test_returns_grow_within_seconds() -> None:
    config = OnlineConfig(n_games=32, horizon=32, epochs=4, n_minibatches=4)
    returns: list[float] = []
    trainer(steps=40_000, config=config).train(lambda progress: returns.append(progress.episode_return))
    assert np.mean(returns[-5:]) > np.mean(returns[:5]) + 2.0, returns


@pytest.mark.slow
@pytest.mark.parametrize(
    ("map_name", "seed", "steps", "wins"),
    [("3m", 0, 500_000, 0.9), ("8m", 0, 500_000, 0.9), ("5m_vs_6m", 0, 1_000_000, 0.6)],
)
def test_it_wins_within_minutes(map_name: str, seed: int, steps: int, wins: float) -> None:
    env = scenarios.make_vector(map_name, OnlineConfig().n_games)
    subject = PpoTrainer(Ppo(PpoConfig(), env.spec), env, OnlineConfig(), seed, steps)
    params = subject.train()
    team = BatchedTeam(subject.agent, params, 64)
    episodes = list(play(scenarios.make_vector(map_name, 64), team, range(128)))
    assert np.mean([episode.won for episode in episodes]) > wins
