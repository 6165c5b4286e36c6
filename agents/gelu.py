"""GELU in its tanh form and its slope: on a CPU in one pass over memory.

gelu(x) = x s(2 z) with the logistic function s and z = sqrt(2 / pi) (x + 0.044715 x³), the tanh form of arXiv
1606.08415. PyTorch's own kernel takes a slow tanh, and another one in its backward pass. Here value and slope
come of one exponential, and the backward pass is one multiplication. Every element is worked on by itself, so
that its bits depend neither on what lies beside it nor on whether a gradient is wanted.
"""

from __future__ import annotations

from functools import partial
from math import factorial, log, pi, sqrt
from typing import Any, Final

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from env_adapters.api import FloatArray
from env_adapters.jit import inlined, kernel

_CUBIC: Final = 0.044715
# Numbers of the compiled code, in its precision.
_ONE, _HALF = np.float32(1.0), np.float32(0.5)
_RATE, _A, _A3 = (np.float32(c) for c in (2.0 * sqrt(2.0 / pi), _CUBIC, 3.0 * _CUBIC))
_BEYOND = np.float32(10.0)
"""Beyond it the logistic function is 0 or 1 in single precision; its exponential is still a number."""
_LOG2E = np.float32(1.0 / log(2.0))
_LN2, _LN2_REST = np.float32(0.693359375), np.float32(log(2.0) - 0.693359375)
"""ln 2 in so few bits that products with small whole numbers are exact, and the rest of it."""
_T2, _T3, _T4, _T5, _T6, _T7 = (np.float32(1.0 / factorial(k)) for k in range(2, 8))
_BIAS, _MANTISSA = np.int32(127), np.int32(23)
_WORD, _LAST, _ROUND = np.uint32(16), np.uint32(1), np.uint32(0x7FFF)


@partial(inlined, contract=True)
def _both(x: Any) -> Any:
    """Value and slope. exp(-t) is a power of two, put together from its bits, times a Taylor series."""
    v = min(max(x, -_BEYOND), _BEYOND)
    t = _RATE * v * (_ONE + _A * (v * v))
    n = np.floor(_HALF - t * _LOG2E)
    f = -t - n * _LN2 - n * _LN2_REST
    series = _ONE + f * (_ONE + f * (_T2 + f * (_T3 + f * (_T4 + f * (_T5 + f * (_T6 + f * _T7))))))
    e = series * np.int32((np.int32(n) + _BIAS) << _MANTISSA).view(np.float32)
    s = _ONE / (_ONE + e)
    # The derivative of s(t) is s(t) (1 - s(t)) = e s(t)².
    return x * s, s + (e * s) * (v * s) * (_RATE * (_ONE + _A3 * (v * v)))


@partial(kernel, contract=True)
def _single(x: FloatArray, value: FloatArray, slope: FloatArray) -> None:
    for i in range(x.size):
        value[i], slope[i] = _both(x[i])


@partial(kernel, contract=True)
def _single_in_place(x: FloatArray) -> None:
    for i in range(x.size):
        x[i], _ = _both(x[i])


@partial(inlined, contract=True)
def _widened(bits: Any) -> Any:
    """The float32 of a bfloat16's bits."""
    return np.uint32(np.uint32(bits) << _WORD).view(np.float32)


@partial(inlined, contract=True)
def _rounded(x: Any) -> Any:
    """The bits of the nearest bfloat16, which are the first half of a float32's; ties to even."""
    bits = np.float32(x).view(np.uint32)
    return np.uint16((bits + _ROUND + ((bits >> _WORD) & _LAST)) >> _WORD)


@partial(kernel, contract=True)
def _brain(x: Any, value: Any, slope: Any) -> None:
    for i in range(x.size):
        v, s = _both(_widened(x[i]))
        value[i], slope[i] = _rounded(v), _rounded(s)


@partial(kernel, contract=True)
def _brain_in_place(x: Any) -> None:
    for i in range(x.size):
        v, _ = _both(_widened(x[i]))
        x[i] = _rounded(v)


def _flat(x: Tensor) -> Any:
    """The numbers of a contiguous tensor, as an array [X] in the same memory; of bfloat16 the bits."""
    x = x.detach().view(-1)
    return (x if x.dtype == torch.float32 else x.view(torch.uint16)).numpy()


def _fused(x: Tensor) -> tuple[Tensor, Tensor]:
    x = x.contiguous()
    value, slope = torch.empty_like(x), torch.empty_like(x)
    (_single if x.dtype == torch.float32 else _brain)(_flat(x), _flat(value), _flat(slope))
    return value, slope


class _Plain(torch.autograd.Function):
    """Value and slope of a tensor on the CPU; the slope has no gradient."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> tuple[Tensor, Tensor]:
        value, slope = _fused(x)
        ctx.mark_non_differentiable(slope)
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(slope)
        return value, slope

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        return grads[0] * ctx.saved_tensors[0]


class _Transformed(torch.autograd.Function):
    """The same under `torch.func`, which asks for this form; it takes twice as long for a small tensor."""

    @staticmethod
    def forward(x: Tensor) -> tuple[Tensor, Tensor]:
        return _fused(x)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        slope = output[1]
        ctx.mark_non_differentiable(slope)
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(slope)
        ctx.save_for_forward(slope)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        return grads[0] * ctx.saved_tensors[0]

    @staticmethod
    def jvp(ctx: Any, *tangents: Any) -> Any:
        return tangents[0] * ctx.saved_tensors[0], None

    @staticmethod
    def vmap(info: Any, in_dims: tuple[int | None, ...], x: Tensor) -> Any:
        return _Transformed.apply(x), (in_dims[0], in_dims[0])  # type: ignore[no-untyped-call]


def gelu_with_slope(x: Tensor) -> tuple[Tensor, Tensor]:
    """The activation of x and its derivative there, which carries no gradient itself, [...] each.

    Compiled code and other devices have it from PyTorch's functions, equal within rounding.
    """
    if _is_ours(x):
        function = _Transformed if torch._C._are_functorch_transforms_active() else _Plain
        value, slope = function.apply(x)  # type: ignore[no-untyped-call]
        return value, slope
    z = x.detach()
    tanh = torch.tanh(0.5 * float(_RATE) * (z + _CUBIC * z**3))
    rate = 0.5 * float(_RATE) * (1.0 + 3.0 * _CUBIC * z * z)
    return gelu(x), 0.5 * (1.0 + tanh) + 0.5 * z * (1.0 - tanh * tanh) * rate


def gelu(x: Tensor) -> Tensor:
    """The activation of x, [...]; without a gradient it may take the memory of x, which is then gone."""
    if not _is_ours(x):
        return F.gelu(x, approximate="tanh")
    if torch.is_grad_enabled() or torch._C._are_functorch_transforms_active() or not x.is_contiguous():
        return gelu_with_slope(x)[0]
    (_single_in_place if x.dtype == torch.float32 else _brain_in_place)(_flat(x))
    return x


def _is_ours(x: Tensor) -> bool:
    short = x.dtype in (torch.float32, torch.bfloat16)
    return x.device.type == "cpu" and short and not torch.compiler.is_compiling()
