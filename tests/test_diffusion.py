"""Samplers on a distribution whose score is known, without any network; and the schedules."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from agents.diffusion import Draws, Schedule, Step, ancestral, diffusion_steps, implicit, noised

torch.set_num_threads(1)
SHARES = torch.tensor([0.7, 0.3], dtype=torch.float64)
MEANS = torch.tensor([0.5, -0.6], dtype=torch.float64)
STD = 0.08
SIZE = 20_000


def best_prediction(steps: list[Step]) -> Callable[[torch.Tensor, int], torch.Tensor]:
    """The noise that a perfect network predicts for the mixture: -sqrt(1 - ᾱ) times the score at step k."""

    def predict(point: torch.Tensor, k: int) -> torch.Tensor:
        step = steps[k - 1]
        means, variance = step.signal * MEANS, (step.signal * STD) ** 2 + step.noise**2
        away = point[..., None] - means
        weights = (SHARES.log() - away**2 / (2 * variance)).softmax(dim=-1)
        return step.noise * (weights * away / variance).sum(dim=-1)

    return predict


def check_mixture(drawn: torch.Tensor, spread: float) -> None:
    upper = drawn > 0
    assert float(upper.double().mean()) == pytest.approx(0.7, abs=0.02)
    for part, mean in ((upper, 0.5), (~upper, -0.6)):
        assert float(drawn[part].mean()) == pytest.approx(mean, abs=0.02)
        assert float(drawn[part].std()) == pytest.approx(STD, abs=spread)


def normals(seed: int) -> torch.Tensor:
    return torch.randn(SIZE, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("schedule", ["cosine", "vp"])
@pytest.mark.parametrize(("n_steps", "spread"), [(200, 0.015), (50, 0.03)])
def test_ancestral_sampling_draws_the_mixture(schedule: Schedule, n_steps: int, spread: float) -> None:
    steps = diffusion_steps(schedule, n_steps)
    check_mixture(ancestral(steps, best_prediction(steps), normals(0), lambda k: normals(k)), spread)


@pytest.mark.parametrize(("n_steps", "visited"), [(200, 200), (200, 50), (100, 100)])
def test_implicit_sampling_draws_the_mixture(n_steps: int, visited: int) -> None:
    steps = diffusion_steps("vp", n_steps)
    check_mixture(implicit(steps, best_prediction(steps), normals(0), visited), 0.02)


def test_implicit_sampling_visits_equal_strides_down_to_the_first_step() -> None:
    seen: list[int] = []

    def predict(point: torch.Tensor, k: int) -> torch.Tensor:
        seen.append(k)
        return torch.zeros_like(point)

    steps = diffusion_steps("cosine", 200)
    point = implicit(steps, predict, torch.tensor([0.2, 1e-3], dtype=torch.float64), 15)
    assert seen == [1 + 13 * i for i in range(14, -1, -1)], "as the diffusers library spaces 15 of 200"
    # Without predicted noise each step divides by its signal, clips, and multiplies by the one below.
    expected = torch.tensor([0.2, 1e-3], dtype=torch.float64)
    for k in seen:
        expected = (expected / steps[k - 1].signal).clamp(-1, 1) * (steps[k - 14].signal if k > 13 else 1.0)
    torch.testing.assert_close(point, expected)


def test_without_draws_ancestral_sampling_follows_the_means() -> None:
    steps = diffusion_steps("cosine", 20)
    still = ancestral(steps, best_prediction(steps), normals(0), None)
    same = ancestral(
        steps, best_prediction(steps), normals(0), lambda k: torch.zeros(SIZE, dtype=torch.float64)
    )
    assert torch.equal(still, same)


def test_the_linear_schedule_is_that_of_a_thousand_steps_whatever_there_are() -> None:
    ten = diffusion_steps("linear", 10)
    assert ten[0].noise ** 2 == pytest.approx(1e-4)
    assert 1 - (ten[9].signal / ten[8].signal) ** 2 == pytest.approx(2e-2)
    assert ten[9].signal ** 2 == pytest.approx(0.904, abs=0.001), "hardly noise at all"


def test_noising_mixes_by_the_step_of_each_sample() -> None:
    steps = diffusion_steps("cosine", 4)
    clean, noise = torch.ones(4, 2), torch.full((4, 2), 10.0)
    got = noised(steps, clean, noise, torch.arange(4)[:, None])
    expected = torch.tensor([[s.signal + 10.0 * s.noise] * 2 for s in steps])
    torch.testing.assert_close(got, expected)


def test_draws_depend_on_their_own_seed_alone() -> None:
    seeds = torch.tensor([[3.0, 0.0], [2.0**24 - 1, 2.0**24 - 1], [3.0, 1.0]])
    together, alone = Draws(seeds, "fresh"), Draws(seeds[1:2], "fresh")
    first, single = together.normal(3, 5), alone.normal(3, 5)
    assert torch.equal(first[1], single[0])
    assert torch.equal(together.exceeds(0.5)[1:2], alone.exceeds(0.5))
    assert len({float(row.sum()) for row in first}) == 3
    assert not torch.equal(together.normal(3, 5), first)
    many = Draws(torch.stack([torch.arange(4000.0), torch.zeros(4000)], dim=-1), "fresh")
    assert float(many.exceeds(0.25).mean()) == pytest.approx(0.75, abs=0.03)
    still = Draws(seeds, "zero")
    assert not still.normal(4).any() and still.exceeds(0.25).all()
