"""Networks while acting: the bits of a row are its own, whoever shares the call, on whatever processor."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from test_agents import CONTINUOUS, DISCRETE, build, cases, observe
from torch.utils._python_dispatch import TorchDispatchMode

from agents import registry
from agents.acting import BatchedTeam, DecentralizedPolicy
from agents.generators import episode_generator
from agents.networks import ActingParams, mlp, mlp_init
from agents.rowwise import RowwiseMlp
from env_adapters.api import AgentView

torch.set_num_threads(1)
PROJECT = Path(__file__).resolve().parents[1]
ROWWISE = [case for case in cases(presets=True) if registry.load_class(case.values[0]).networks]
WIDE = replace(CONTINUOUS, observation_size=70, action_size=9)


def network(*sizes: int, seed: int = 0) -> tuple[dict[str, torch.Tensor], RowwiseMlp]:
    generator = torch.Generator().manual_seed(seed)
    params = mlp_init("net", sizes, generator)
    for name in list(params):
        if name.endswith("bias"):
            params[name] = torch.randn(params[name].shape, generator=generator)
    return params, ActingParams(params, ("net",)).rowwise["net"]


def inputs(rows: int, size: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(rows, size, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("sizes", [(3, 2), (76, 512, 512, 12), (1, 1, 1), (33, 31, 129, 65), (5, 160, 32)])
@pytest.mark.parametrize("scale", [1.0, 1e-3, 30.0])
def test_it_is_the_network_of_the_library(sizes: tuple[int, ...], scale: float) -> None:
    params, ours = network(*sizes)
    x = scale * inputs(70, sizes[0])
    expected = mlp({name: tensor.double() for name, tensor in params.items()}, "net", x.double())
    error = (ours(x).double() - expected).abs().max() / (1.0 + expected.abs().max())
    assert error < 3e-6
    assert ours(x.reshape(7, 10, -1)).shape == (7, 10, sizes[-1])


def test_gelu_has_the_right_ends() -> None:
    eye = [torch.eye(5), torch.eye(5)]
    gelu = RowwiseMlp(eye, [torch.zeros(5)] * 2)
    x = torch.tensor([[-1e30, -100.0, -1e-20, 0.0, 1e-20], [1e30, 100.0, -9.0, -3.0, 0.7]])
    expected = torch.nn.functional.gelu(x.double(), approximate="tanh")
    torch.testing.assert_close(gelu(x).double(), expected, rtol=1e-6, atol=1e-7)
    lost = RowwiseMlp(eye[:1] * 2, [torch.full((5,), float("nan")), torch.zeros(5)])
    assert lost(x).isnan().all(), "a diverged network is not hidden"


@settings(deadline=None, max_examples=40)
@given(st.data())
def test_neighbours_do_not_change_a_bit(data: st.DataObject) -> None:
    sizes = data.draw(st.lists(st.integers(1, 200), min_size=2, max_size=5))
    _, net = network(*sizes)
    x = inputs(150, sizes[0])
    alone = torch.cat([net(row[None]) for row in x])
    rows = data.draw(st.lists(st.integers(0, 149), min_size=1, max_size=140))
    assert torch.equal(net(x[rows]), alone[rows])


def reordered(self: RowwiseMlp, x: torch.Tensor) -> torch.Tensor:
    """A planted bug: several rows are added up in another order than one."""
    weight = torch.from_numpy(self._panels[: 32 * (1 + x.shape[-1])].reshape(1 + x.shape[-1], 32))[1:]
    order = torch.arange(len(weight)) if len(x) == 1 else torch.arange(len(weight)).flip(0)
    total = torch.zeros(len(x), 32)
    for i in order:
        total = total + x[:, i : i + 1] * weight[i]
    return total[:, : self._n_outputs]


def played(name: str, kind: str, sizes: list[int]) -> list[np.ndarray]:
    """Actions of the same game in calls of several numbers of games, and of its agents alone."""
    spec = WIDE if kind == "continuous" else DISCRETE
    agent, params = build(name, spec)
    observations, masks = observe(spec, max(sizes))
    found = []
    for n in sizes:
        team = BatchedTeam(agent, params, n)
        games = np.arange(n)[::-1]  # game 0 comes last
        team.begin(games, np.arange(n))
        found.append(team.act(observations[games], None if masks is None else masks[games])[-1])
    single = DecentralizedPolicy(agent, params)
    alone = [
        single.act(
            AgentView(observations[0, i], None if masks is None else masks[0, i], i, 0),
            None,
            episode_generator(0, i),
        )[0]
        for i in range(spec.n_agents)
    ]
    return [*found, np.array(alone)]


@pytest.mark.parametrize(("name", "spec"), ROWWISE)
def test_a_team_of_any_size_acts_alike(name: str, spec: Any) -> None:
    first, *others = played(name, spec.action_kind, [1, 2, 7, 40, 180])
    for other in others:
        np.testing.assert_array_equal(first, other)


def test_another_order_of_additions_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RowwiseMlp, "__call__", reordered)
    *together, alone = played("bc-meanflow", "continuous", [1, 7])
    assert not np.array_equal(together[0], alone)
    np.testing.assert_allclose(together[0], alone, atol=1e-4)


class Watch(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Names of the operations, and of those whose result has as many rows as there are agents."""

    def __init__(self, rows: int) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.rows, self.seen, self.by_row = rows, set[str](), set[str]()

    def __torch_dispatch__(
        self, function: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        out = function(*args, **(kwargs or {}))
        name = str(function).removeprefix("aten.").split(".")[0]
        self.seen.add(name)
        if isinstance(out, torch.Tensor) and out.ndim and len(out) == self.rows:
            self.by_row.add(name)
        return out


EXACT = {
    *("add", "sub", "rsub", "mul", "div", "neg", "clamp", "masked_fill", "argmax", "bitwise_not", "cat"),
    *(
        "slice",
        "select",
        "expand",
        "view",
        "reshape",
        "_unsafe_view",
        "alias",
        "clone",
        "new_zeros",
        "new_ones",
    ),
    *(
        "zeros",
        "ones",
        "empty",
        "full",
        "fill",
        "detach",
        "new_full",
        "new_empty",
        "lift_fresh",
        "zeros_like",
    ),
}
"""Operations that make each number by one rounding at most from numbers of its row."""


@pytest.mark.parametrize(("name", "spec"), ROWWISE)
def test_nothing_else_mixes_numbers(name: str, spec: Any) -> None:
    """Whoever declares its networks computes nothing else of which the bits could depend on the other rows."""
    agent, params = build(name, spec)
    rows = 23
    masks = None if spec.action_kind == "continuous" else torch.ones(rows, spec.action_size, dtype=torch.bool)
    noise = np.stack([agent.draw_noise(np.random.default_rng(i), agent.act_modes[0]) for i in range(rows)])
    views = inputs(rows, agent.input_size)
    ready = ActingParams(params, agent.networks)
    assert ready.rowwise
    for mode in agent.act_modes:
        with Watch(rows) as watch:
            agent.act_batch(ready, views, masks, torch.from_numpy(noise), mode)
        assert watch.by_row <= EXACT, watch.by_row - EXACT
        assert not watch.seen & {"mm", "addmm", "bmm", "convolution"}
        assert watch.by_row


def test_an_action_outlives_the_next_one() -> None:
    agent, params = build("vgm2p", CONTINUOUS)
    policy, rng = DecentralizedPolicy(agent, params), episode_generator(0, 0)
    observations, _ = observe(CONTINUOUS, 2)
    first, _ = policy.act(AgentView(observations[0, 0], None, 0, 0), None, rng)
    kept = first.copy()
    second, _ = policy.act(AgentView(observations[1, 1], None, 1, 0), None, rng)
    np.testing.assert_array_equal(first, kept)
    assert not np.array_equal(first, second)


def digest() -> str:
    """Of what a network makes of some rows."""
    _, net = network(76, 130, 64, 12)
    x = torch.from_numpy(np.random.default_rng(0).standard_normal((13, 76), dtype=np.float32))
    return hashlib.sha256(net(x).numpy().tobytes() + net(x[:1]).numpy().tobytes()).hexdigest()


@pytest.mark.slow
@pytest.mark.skipif("avx2" not in Path("/proc/cpuinfo").read_text(), reason="needs an AVX2 processor")
def test_an_older_processor_computes_the_same_bits() -> None:
    environment = os.environ | {
        "PYTHONPATH": f"{PROJECT}:{PROJECT / 'tests'}",
        "NUMBA_CPU_NAME": "haswell",
        "NUMBA_CPU_FEATURES": "+sse4.2,+avx,+avx2,+fma",
    }
    code = "from test_rowwise import digest; print(digest())"
    answer = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=200, check=True
    )
    assert answer.stdout.strip() == digest()
