"""Several seeds at once: mapping a loss over stacked parameters gives what single evaluations give."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import pytest
import torch
from test_agents import batch_for, build, cases
from torch import Tensor

from agents.api import Batch, Metrics, OfflineAgent, WindowBatch
from env_adapters.api import TeamSpec

torch.set_num_threads(1)
SEEDS = (1, 2, 3)
SIZE = 8
Tensors = dict[str, Tensor]


def filled(batch: Batch | WindowBatch) -> Tensors:
    """The fields of a batch that are there."""
    values = {field.name: getattr(batch, field.name) for field in fields(batch)}
    return {name: value for name, value in values.items() if value is not None}


def stack(parts: list[Tensors]) -> Tensors:
    return {name: torch.stack([part[name] for part in parts]) for name in parts[0]}


@pytest.mark.parametrize(("name", "spec"), cases("offline", presets=True))
def test_stacked_seeds_equal_single_ones(name: str, spec: TeamSpec) -> None:
    agent, _ = build(name, spec)
    assert isinstance(agent, OfflineAgent)
    kind: type[Any] = WindowBatch if agent.horizon else Batch
    empty = dict.fromkeys(field.name for field in fields(kind))

    def loss(params: Tensors, targets: Tensors, batch: Tensors, noise: Tensors) -> tuple[Tensor, Metrics]:
        return agent.losses(params, targets, kind(**(empty | batch)), noise)

    params = [build(name, spec, seed)[1] for seed in SEEDS]
    others = [build(name, spec, seed + 10)[1] for seed in SEEDS]
    targets = [{key: other[key] for key in agent.target_names(other)} for other in others]
    batches = [filled(batch_for(agent, SIZE, seed)) for seed in SEEDS]
    noises = [agent.draw_training_noise(torch.Generator().manual_seed(seed), SIZE) for seed in SEEDS]
    both: Any = torch.func.grad_and_value(loss, has_aux=True)
    stacked = [stack(part) for part in (params, targets, batches, noises)]
    # vmap wants a tensor in every argument that it maps.
    dims = tuple(0 if part else None for part in stacked)
    gradients, (values, metrics) = torch.func.vmap(both, in_dims=dims)(*stacked)
    for i in range(len(SEEDS)):
        single, (value, numbers) = both(params[i], targets[i], batches[i], noises[i])
        torch.testing.assert_close(values[i], value, rtol=1e-5, atol=1e-5)
        for key, number in numbers.items():
            torch.testing.assert_close(metrics[key][i], number, rtol=1e-5, atol=1e-5)
        for key, gradient in single.items():
            torch.testing.assert_close(gradients[key][i], gradient, rtol=1e-4, atol=1e-5, msg=key)
    assert len(set(values.tolist())) == len(SEEDS)
