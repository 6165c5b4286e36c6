"""PPO in the simulator, to make the behaviour policies that datasets are recorded with.

Multi-agent PPO (arXiv 2103.01955): one actor shared by all agents, one value of the global state, generalised
advantage estimation, normalised returns. Good enough to win the Marine maps within minutes on two cores.

    harness train --agent ppo --map 5m_vs_6m --steps 3000000
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from agents.actions import mask_unavailable
from agents.api import Params, with_identity
from agents.ppo import Ppo
from env_adapters.api import IntArray, VectorEnv, VectorStep
from env_adapters.bounds import check_at_least, check_between
from env_adapters.errors import DivergenceError

_EPISODE_STREAM = 2


@dataclass(frozen=True)
class OnlineConfig:
    """Hyperparameters of PPO."""

    n_games: int = 64
    """Games played at once."""
    horizon: int = 64
    """Steps of every game between updates."""
    learning_rate: float = 5e-4
    """Adam, falling linearly to a tenth."""
    discount: float = 0.99
    """γ."""
    gae_lambda: float = 0.95
    """λ of the advantage estimate."""
    clip: float = 0.2
    """ε of the clipped ratio."""
    entropy: float = 0.02
    """Weight of the entropy bonus at the start, falling linearly to a tenth."""
    epochs: int = 8
    """Passes over each rollout."""
    n_minibatches: int = 8
    """Minibatches per pass."""
    max_grad_norm: float = 5.0
    """Gradient norm above which gradients are scaled down."""
    normalise_inputs: bool = False
    """Standardise observations and states by running statistics (worth it for MuJoCo)."""

    def __post_init__(self) -> None:
        """Refuse values that make no sense."""
        for name in ("n_games", "horizon", "epochs", "n_minibatches"):
            check_at_least(name, getattr(self, name), 1)
        check_between("n_games", self.n_games, 1, 16_384)
        for name in ("discount", "gae_lambda", "clip"):
            check_between(name, getattr(self, name), 0.0, 1.0)
        check_between("learning_rate", self.learning_rate, 1e-12, 1.0)


class Rollout(NamedTuple):
    """T steps of B games."""

    inputs: Tensor
    """[T, B, N, N + D]"""
    states: Tensor
    """[T, B, S]"""
    available: Tensor | None
    """bool[T, B, N, A]"""
    actions: Tensor
    """[T, B, N] or [T, B, N, A]"""
    log_probs: Tensor
    """[T, B, N]"""
    rewards: Tensor
    """[T, B]"""
    values: Tensor
    """Denormalised values [T + 1, B]."""
    ended: Tensor
    """float [T, B], terminated or truncated."""
    cut_values: Tensor
    """Value of the last state of an episode that was truncated at this step, else 0, [T, B]."""


class Progress(NamedTuple):
    """What one update reports."""

    steps: int
    """Environment steps so far, over all games."""
    episode_return: float
    """Mean return of the episodes that ended during the rollout, NaN if none did."""
    win_rate: float
    """Share of them that was won, NaN without a winner."""
    steps_per_s: float


class PpoTrainer:
    """Trains a `Ppo` agent in a batch of games.

    Args:
        agent: the agent.
        env: `config.n_games` games.
        config: hyperparameters.
        seed: decides weights, actions, minibatches and episodes.
        total_steps: length of the learning-rate schedule, in environment steps.
    """

    def __init__(self, agent: Ppo, env: VectorEnv, config: OnlineConfig, seed: int, total_steps: int) -> None:
        self.agent, self.env, self.config, self.seed = agent, env, config, seed
        self.total_steps = total_steps
        self.generator = torch.Generator().manual_seed(seed)
        self.params = agent.init(self.generator)
        self._trained = [p.requires_grad_() for name, p in self.params.items() if not name.startswith("norm")]
        self._optimizer = torch.optim.Adam(self._trained, lr=config.learning_rate, eps=1e-5)
        self._episodes = 0
        self.steps = 0
        self._returns = np.zeros(env.n_games)
        self._finished: list[tuple[float, bool]] = []
        self._current = env.reset(self._episode_seeds(env.n_games))
        self._counts = {"input": 0.0, "state": 0.0, "return": 0.0}

    def _episode_seeds(self, n: int) -> IntArray:
        """Seeds of the next n training episodes, never those that evaluations use."""
        sequence = np.random.SeedSequence([self.seed, _EPISODE_STREAM, self._episodes])
        self._episodes += 1
        return sequence.generate_state(n, np.uint32).astype(np.int64) + 2**40

    def train(self, on_update: Callable[[Progress], None] | None = None) -> Params:
        """Train until `total_steps`; returns the parameters."""
        while self.steps < self.total_steps:
            started = time.perf_counter()
            self._finished.clear()
            rollout = self._play()
            self._update(rollout)
            rate = self.config.horizon * self.env.n_games / (time.perf_counter() - started)
            if on_update is not None:
                on_update(self._progress(rate))
        return {name: tensor.detach() for name, tensor in self.params.items()}

    def _progress(self, rate: float) -> Progress:
        returns = [episode_return for episode_return, _ in self._finished]
        wins = [won for _, won in self._finished]
        mean = float(np.mean(returns)) if returns else float("nan")
        win_rate = float(np.mean(wins)) if wins and self.env.spec.has_win else float("nan")
        return Progress(self.steps, mean, win_rate, rate)

    @torch.no_grad()
    def _value(self, states: Tensor) -> Tensor:
        value = self.agent.value(self.params, states)
        return value * self.params["norm.return_std"] + self.params["norm.return_mean"]

    def _distribution(self, inputs: Tensor, available: Tensor | None) -> torch.distributions.Distribution:
        out = self.agent.actor(self.params, inputs)
        if self.env.spec.action_kind == "discrete":
            return torch.distributions.Categorical(
                logits=mask_unavailable(out, available), validate_args=False
            )
        normal = torch.distributions.Normal(out, self.params["log_std"].exp(), validate_args=False)
        return torch.distributions.Independent(normal, 1, validate_args=False)

    @torch.no_grad()
    def _choose(self, inputs: Tensor, available: Tensor | None) -> tuple[Tensor, Tensor]:
        distribution = self._distribution(inputs, available)
        if isinstance(distribution, torch.distributions.Categorical):
            uniform = torch.rand(distribution.logits.shape, generator=self.generator)
            actions = (distribution.logits - torch.log(-torch.log(uniform.clamp(1e-20, 1.0)))).argmax(dim=-1)
        else:
            mean = distribution.mean
            actions = mean + torch.randn(mean.shape, generator=self.generator) * distribution.stddev
        return actions, distribution.log_prob(actions)

    def _play(self) -> Rollout:
        rows: dict[str, list[Tensor]] = {name: [] for name in Rollout._fields}
        for _ in range(self.config.horizon):
            step = self._current
            inputs = with_identity(torch.from_numpy(step.observations))
            states = torch.from_numpy(self.env.state())
            available = None if step.available_actions is None else torch.from_numpy(step.available_actions)
            actions, log_probs = self._choose(inputs, available)
            played = actions if self.env.spec.action_kind == "discrete" else actions.clamp(-1.0, 1.0)
            after = self.env.step(played.numpy())
            rows["inputs"].append(inputs)
            rows["states"].append(states)
            if available is not None:
                rows["available"].append(available)
            rows["actions"].append(actions)
            rows["log_probs"].append(log_probs)
            rows["rewards"].append(torch.from_numpy(after.rewards).float())
            rows["ended"].append(torch.from_numpy(after.ended).float())
            rows["values"].append(self._value(states))
            rows["cut_values"].append(self._cut_values(after))
            self._current = self._restart(after)
        rows["values"].append(self._value(torch.from_numpy(self.env.state())))
        self.steps += self.config.horizon * self.env.n_games
        stacked = {name: torch.stack(values) if values else None for name, values in rows.items()}
        return Rollout(**stacked)  # type: ignore[arg-type]

    def _cut_values(self, step: VectorStep) -> Tensor:
        if not step.truncated.any():
            return torch.zeros(self.env.n_games)
        return self._value(torch.from_numpy(self.env.state())) * torch.from_numpy(step.truncated)

    def _restart(self, step: VectorStep) -> VectorStep:
        self._returns += step.rewards
        games = np.flatnonzero(step.ended)
        if not len(games):
            return step
        won = step.info["won"] if self.env.spec.has_win else np.zeros(self.env.n_games, dtype=np.bool_)
        self._finished += [(float(self._returns[game]), bool(won[game])) for game in games]
        self._returns[games] = 0.0
        return self.env.reset(self._episode_seeds(len(games)), games)

    def _advantages(self, rollout: Rollout) -> Tensor:
        c, following = self.config, torch.zeros(self.env.n_games)
        out = torch.zeros_like(rollout.rewards)
        for t in reversed(range(len(out))):
            going_on = 1.0 - rollout.ended[t]
            future = going_on * rollout.values[t + 1] + rollout.cut_values[t]
            delta = rollout.rewards[t] + c.discount * future - rollout.values[t]
            following = delta + c.discount * c.gae_lambda * going_on * following
            out[t] = following
        return out

    def _update(self, rollout: Rollout) -> None:
        advantages = self._advantages(rollout)
        returns = (advantages + rollout.values[:-1]).flatten()
        self._track("return", returns[:, None])
        if self.config.normalise_inputs and self.steps <= self.total_steps // 2:
            self._track("input", rollout.inputs.flatten(0, 2))
            self._track("state", rollout.states.flatten(0, 1))
        targets = (returns - self.params["norm.return_mean"]) / self.params["norm.return_std"]
        weights = (advantages - advantages.mean()) / (advantages.std() + 1e-8)
        for group in self._optimizer.param_groups:
            group["lr"] = self.config.learning_rate * self._remaining()
        flat = rollout._replace(
            inputs=rollout.inputs.flatten(0, 1),
            states=rollout.states.flatten(0, 1),
            available=None if rollout.available is None else rollout.available.flatten(0, 1),
            actions=rollout.actions.flatten(0, 1),
            log_probs=rollout.log_probs.flatten(0, 1),
        )
        for _ in range(self.config.epochs):
            order = torch.randperm(len(targets), generator=self.generator)
            for rows in order.chunk(self.config.n_minibatches):
                self._minibatch(flat, rows, weights.flatten()[rows], targets[rows])

    def _remaining(self) -> float:
        """Factor of learning rate and entropy bonus: from 1 linearly to a tenth."""
        return max(0.1, 1.0 - self.steps / self.total_steps)

    def _minibatch(self, flat: Rollout, rows: Tensor, weights: Tensor, targets: Tensor) -> None:
        available = None if flat.available is None else flat.available[rows]
        distribution = self._distribution(flat.inputs[rows], available)
        ratio = (distribution.log_prob(flat.actions[rows]) - flat.log_probs[rows]).exp()
        weight = weights[:, None]
        clipped = ratio.clamp(1.0 - self.config.clip, 1.0 + self.config.clip)
        gain = torch.minimum(ratio * weight, clipped * weight)
        # Agents with one available action (the dead) have nothing to learn.
        alive = torch.ones_like(gain) if available is None else (available.sum(dim=-1) > 1).float()
        bonus = self.config.entropy * self._remaining() * _entropy(distribution)
        policy_loss = -((gain + bonus) * alive).sum() / alive.sum().clamp(min=1.0)
        value_loss = F.smooth_l1_loss(self.agent.value(self.params, flat.states[rows]), targets)
        loss = policy_loss + value_loss
        if not torch.isfinite(loss):
            raise DivergenceError(
                f"PPO loss is {loss.item()} after {self.steps} steps; lower --learning-rate"
            )
        self._optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self._trained, self.config.max_grad_norm)
        self._optimizer.step()

    @torch.no_grad()
    def _track(self, name: str, values: Tensor) -> None:
        """Fold values [R, F] into the running mean and standard deviation `norm.<name>_*`."""
        mean, std = self.params[f"norm.{name}_mean"], self.params[f"norm.{name}_std"]
        old, new = self._counts[name], float(len(values))
        total = old + new
        batch_mean, batch_var = values.mean(dim=0), values.var(dim=0, unbiased=False)
        delta = batch_mean.reshape(mean.shape) - mean
        variance = (old * std**2 + new * batch_var.reshape(std.shape) + delta**2 * old * new / total) / total
        mean += delta * new / total
        std.copy_(variance.sqrt().clamp(min=1e-2))
        # Old rollouts fade, so that statistics follow the policy.
        self._counts[name] = min(total, 50.0 * new)


def _entropy(distribution: torch.distributions.Distribution) -> Tensor:
    if isinstance(distribution, torch.distributions.Categorical):
        logits = distribution.logits
        return -(logits.exp() * logits.clamp(min=-1e9)).sum(dim=-1)
    return distribution.entropy()
