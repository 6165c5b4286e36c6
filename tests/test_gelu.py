"""GELU on the CPU: value, slope and bits, plain and transformed, single and half precision."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from agents import gelu as ours

torch.set_num_threads(1)
X = torch.cat([torch.linspace(-30.0, 30.0, 20_011), torch.tensor([0.0, 1e-30, 1e4, -1e4])])


def exact(x: Tensor) -> tuple[Tensor, Tensor]:
    """Value and slope in double precision, by PyTorch."""
    z = x.double().requires_grad_()
    value = F.gelu(z, approximate="tanh")
    return value.detach(), torch.autograd.grad(value.sum(), z)[0]


def test_value_slope_and_gradient_are_right() -> None:
    value, slope = exact(X)
    x = X.clone().requires_grad_()
    made, derivative = ours.gelu_with_slope(x)
    assert made.requires_grad and not derivative.requires_grad
    torch.testing.assert_close(made.detach().double(), value, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(derivative.double(), slope, rtol=0.0, atol=1e-6)
    weight = torch.linspace(-1.0, 1.0, len(X))
    (gradient,) = torch.autograd.grad((ours.gelu(x) * weight).sum(), x)
    torch.testing.assert_close(gradient.double(), slope * weight, rtol=0.0, atol=1e-6)


def test_other_ways_to_compute_it_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    """What compiled code and other devices are given."""
    fast = ours.gelu_with_slope(X)
    monkeypatch.setattr(ours, "_is_ours", lambda x: False)
    for mine, theirs in zip(fast, ours.gelu_with_slope(X), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-5, atol=2e-6)


@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16])
def test_bits_depend_on_the_number_alone(kind: torch.dtype) -> None:
    """Not on its place, nor on whether a gradient is wanted: equal actions have equal values either way."""
    x = torch.randn(4099, generator=torch.Generator().manual_seed(0)).mul(4.0).to(kind)
    whole, slope = ours.gelu_with_slope(x)
    with torch.no_grad():
        assert torch.equal(ours.gelu(x.clone()), whole)
        assert torch.equal(ours.gelu(x.clone().reshape(-1, 1).expand(-1, 2).t())[1], whole)
    for start in range(1, 40):
        part, steep = ours.gelu_with_slope(x[start : start + 777 + start])
        assert torch.equal(part, whole[start : start + 777 + start])
        assert torch.equal(steep, slope[start : start + 777 + start])


def test_half_precision_is_the_nearest() -> None:
    x = X.to(torch.bfloat16)
    value, slope = exact(x)
    for made, wanted in zip(ours.gelu_with_slope(x), (value, slope), strict=True):
        assert made.dtype == torch.bfloat16
        # Half a unit of its last place, of eight bits, and single precision's own rounding.
        torch.testing.assert_close(made.double(), wanted, rtol=2.0**-8, atol=1e-6)


def test_it_can_be_transformed() -> None:
    x = torch.randn(3, 5, generator=torch.Generator().manual_seed(0))
    plain, slope = ours.gelu_with_slope(x)
    for dim in (0, 1):
        assert torch.equal(torch.func.vmap(ours.gelu, dim, dim)(x), plain)
        with torch.no_grad():
            assert torch.equal(torch.func.vmap(ours.gelu, dim, dim)(x), plain)
    value, along = torch.func.jvp(ours.gelu, (x,), (torch.full_like(x, 2.0),))
    assert torch.equal(value, plain) and torch.equal(along, 2.0 * slope)
    each = torch.func.vmap(torch.func.grad(lambda row: ours.gelu(row).sum()))(x)
    assert torch.equal(each, slope)


def test_what_is_not_finite_stays_so() -> None:
    with torch.no_grad():
        made = ours.gelu(torch.tensor([torch.nan, torch.inf, 1e30, -1e30, -torch.inf]))
    assert made[0].isnan() and made[1] == torch.inf and made[2] == np.float32(1e30)
    assert abs(float(made[3])) < 1e-3 and not made[4].isfinite()


def test_memory_is_reused_only_without_a_gradient() -> None:
    x = torch.ones(8)
    ours.gelu(x)
    assert torch.equal(x, torch.ones(8))
    with torch.no_grad():
        assert ours.gelu(x) is x
