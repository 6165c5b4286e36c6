"""`harness bench train`: every row is there, the bound counts every product, and the peer computes the same loss."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from test_agents import random_batch

from agents.vgm2p import Vgm2p, Vgm2pConfig
from benchmarks import jax_step
from benchmarks.products import record
from benchmarks.train import batch_arrays
from env_adapters import scenarios

PROJECT = Path(__file__).resolve().parents[1]


def test_products_are_recorded_with_their_backward_pass() -> None:
    generator = torch.Generator().manual_seed(0)
    x, w = torch.randn(7, 5, generator=generator), torch.randn(3, 5, generator=generator, requires_grad=True)
    stacked = torch.randn(2, 4, 6, generator=generator)

    def code() -> None:
        torch.nn.functional.linear(x, w, torch.zeros(3)).square().sum().backward()
        torch.bmm(stacked, stacked.transpose(1, 2))

    products = record(code)
    products.again()
    assert products.n_products == 3, "forward, gradient of the weights, batched"
    assert products.flop == 2 * (7 * 5 * 3) * 2 + 2 * (2 * 4 * 6 * 4)
    assert w.grad is not None and torch.isfinite(w.grad).all()


@pytest.mark.slow
def test_the_report_has_its_rows() -> None:
    command = [sys.executable, "-m", "harness", "bench", "train", "--quick", "--json", "--seeds", "2"]
    answer = subprocess.run(
        command, env=os.environ | {"PYTHONPATH": str(PROJECT)}, capture_output=True, text=True, timeout=300
    )
    assert answer.returncode == 0, answer.stderr
    report = json.loads(answer.stdout)
    about = " | ".join(row["what"] for row in report["rows"])
    for part in (
        "4 x 512: VGM2P",
        "2 x 128: VGM2P",
        "products / step",
        "mac-flow / vgm2p",
        "2 seeds, stacked",
    ):
        assert part in about
    (share,) = [row for row in report["rows"] if row["what"] == "4 x 512: products / step"]
    assert share["target"] == 90
    peers = [row for row in report["rows"] if "JAX" in row["what"] and row["target"] is not None]
    assert len(peers) == (2 if jax_step.is_installed() else 0)
    assert share["unit"] == "%" and 0 < share["lowest"] <= share["median"] <= share["highest"]
    assert any("JAX" in note or "jax" in note for note in report["notes"])
    assert any("CUDA" in note for note in report["notes"])


@pytest.mark.skipif(not jax_step.is_installed(), reason="jax is not installed")
def test_the_peer_computes_the_same_loss() -> None:
    agent = Vgm2p(Vgm2pConfig(hidden=(16, 16)), scenarios.make_vector("3m", 1).spec)
    params, targets = (agent.init(torch.Generator().manual_seed(seed)) for seed in (0, 1))
    targets = {name: targets[name] for name in agent.target_names(targets)}
    batch, noise = (
        random_batch(agent.spec, 8, 3),
        agent.draw_training_noise(torch.Generator().manual_seed(2), 8),
    )
    ours, _ = agent.losses(params, targets, batch, noise)
    arrays = [{name: tensor.numpy() for name, tensor in part.items()} for part in (params, targets, noise)]
    theirs = jax_step.loss(arrays[0], arrays[1], batch_arrays(batch), arrays[2])
    assert float(theirs) == pytest.approx(float(ours), rel=1e-5)
