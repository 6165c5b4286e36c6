"""MLPs whose result for a row does not depend, in any bit, on the other rows, and that are fast from one row on.

Every number of a layer is its bias plus weight times input, added input after input by fused multiply-adds, one rounding
each. However many rows are taken together, none of them sees another order of additions; a library's matrix product
promises no such thing. GELU is built from the same exactly rounded operations, so the bits are those of any CPU.

Weights are stored in panels of 32 outputs, so that they are read in one sweep. The inner loops are written as vectors of
LLVM, which a compiler does not have to find: a panel for several rows at once, or several panels for one row.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import factorial, log, pi, sqrt
from typing import Any, Final

import numpy as np
import torch
from llvmlite import binding, ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic
from torch import Tensor

from env_adapters.api import FloatArray
from env_adapters.jit import kernel

PANEL: Final = 32
"""Outputs that are computed side by side."""
_CHUNK: Final = 64
"""Rows that go through all layers before the next ones: their numbers stay in the cache."""
# A tile of 8 rows needs 16 registers of 16 numbers; processors without those have room for 2 rows.
_TALL, _MIDDLE = (8, 4) if binding.get_host_cpu_features().get("avx512f") else (2, 2)
_BROAD: Final = 4
"""Panels taken together for a single row."""

_LANES: Final = 16
_CLIP: Final = 87.0
"""exp of more would leave the range of single precision."""
_ROUND: Final = 1.5 * 2.0**23
"""Adding and subtracting it rounds to a whole number."""
_LN2_HIGH: Final = 0.693359375
"""Leading bits of ln 2; so many that its products with exponents are exact."""
_EXP_TERMS: Final = 7
"""Of exp's power series within +-ln(2) / 2, where the next one is below 1e-8."""


def _pointer(context: Any, builder: Any, kind: Any, array: Any) -> Any:
    return context.make_array(kind)(context, builder, array).data


def _vector_at(builder: Any, pointer: Any, index: Any, vector: Any) -> Any:
    return builder.bitcast(builder.gep(pointer, [index]), vector.as_pointer())


def _load(builder: Any, pointer: Any) -> Any:
    loaded = builder.load(pointer)
    loaded.align = 4
    return loaded


def _store(builder: Any, value: Any, pointer: Any) -> None:
    builder.store(value, pointer).align = 4


def _fma(builder: Any, vector: Any) -> Any:
    """Multiplication and addition with one rounding, for vectors of this type."""
    kind = ir.FunctionType(vector, [vector] * 3)
    return cgutils.get_or_insert_function(builder.module, kind, f"llvm.fma.v{vector.count}f32")


def _tile(rows: int, panels: int) -> Callable[..., None]:
    """Code that computes some panels of a layer for some rows.

    It takes inputs (array, index of the first one, distance of rows), panels (array, index), the number of inputs, and
    outputs (array, index, distance of rows).
    """
    vector, index = ir.VectorType(ir.FloatType(), PANEL), ir.IntType(64)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        x, x0, x_stride, w, w0, n_inputs, y, y0, y_stride = arguments
        x, w, y = (_pointer(context, builder, signature.args[i], a) for i, a in ((0, x), (3, w), (6, y)))
        fma, zeros = _fma(builder, vector), ir.Constant(ir.VectorType(ir.IntType(32), PANEL), [0] * PANEL)
        size = builder.mul(builder.add(n_inputs, index(1)), index(PANEL))
        starts = [builder.add(w0, builder.mul(size, index(q))) for q in range(panels)]
        sums = [[cgutils.alloca_once(builder, vector) for _ in range(panels)] for _ in range(rows)]
        for q, start in enumerate(starts):
            bias = _load(builder, _vector_at(builder, w, start, vector))
            for row in sums:
                builder.store(bias, row[q])
        with cgutils.for_range(builder, n_inputs) as loop:
            below = builder.mul(builder.add(loop.index, index(1)), index(PANEL))
            weights = [
                _load(builder, _vector_at(builder, w, builder.add(start, below), vector)) for start in starts
            ]
            for r, row in enumerate(sums):
                at = builder.add(builder.add(x0, builder.mul(x_stride, index(r))), loop.index)
                blank = ir.Constant(vector, ir.Undefined)
                first = builder.insert_element(blank, builder.load(builder.gep(x, [at])), ir.IntType(32)(0))
                number = builder.shuffle_vector(first, blank, zeros)
                for weight, total in zip(weights, row, strict=True):
                    builder.store(builder.call(fma, [number, weight, builder.load(total)]), total)
        for r, row in enumerate(sums):
            for q, total in enumerate(row):
                at = builder.add(builder.add(y0, builder.mul(y_stride, index(r))), index(q * PANEL))
                _store(builder, builder.load(total), _vector_at(builder, y, at, vector))
        return context.get_dummy_value()

    def tile(
        context: Any, x: Any, x0: Any, x_stride: Any, w: Any, w0: Any, n: Any, y: Any, y0: Any, y_stride: Any
    ) -> Any:
        return types.void(x, x0, x_stride, w, w0, n, y, y0, y_stride), generate

    made: Callable[..., None] = intrinsic(tile)
    return made


def _gelu_of(b: Any, x: Any, vector: Any) -> Any:
    """GELU in its tanh form, x / (1 + exp(-2 sqrt(2 / pi) (x + 0.044715 x^3))), of a vector."""
    whole = ir.VectorType(ir.IntType(32), _LANES)

    def number(value: float) -> Any:
        return ir.Constant(vector, [ir.Constant(ir.FloatType(), float(np.float32(value)))] * _LANES)

    def fma(p: Any, q: Any, r: Any) -> Any:
        return b.call(_fma(b, vector), [p, q, r])

    cube = b.fmul(b.fmul(x, x), x)
    t = b.fmul(number(-2.0 * sqrt(2.0 / pi)), fma(number(0.044715), cube, x))
    t = b.select(b.fcmp_ordered("<", t, number(_CLIP)), t, number(_CLIP))
    t = b.select(b.fcmp_ordered(">", t, number(-_CLIP)), t, number(-_CLIP))
    # exp(t) = 2^m exp(rest)
    m = b.fsub(fma(t, number(1.0 / log(2.0)), number(_ROUND)), number(_ROUND))
    rest = fma(m, number(-(log(2.0) - _LN2_HIGH)), fma(m, number(-_LN2_HIGH), t))
    series = number(1.0 / factorial(_EXP_TERMS))
    for power in range(_EXP_TERMS - 1, -1, -1):
        series = fma(series, rest, number(1.0 / factorial(power)))
    bits = b.shl(
        b.add(b.fptosi(m, whole), ir.Constant(whole, [127] * _LANES)), ir.Constant(whole, [23] * _LANES)
    )
    return b.fdiv(x, fma(series, b.bitcast(bits, vector), number(1.0)))


def _make_gelu() -> Callable[..., None]:
    """Code that replaces numbers of an array, from an index on, a multiple of 16, by their GELU."""
    vector, index = ir.VectorType(ir.FloatType(), _LANES), ir.IntType(64)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        y, y0, n = arguments
        y = _pointer(context, builder, signature.args[0], y)
        with cgutils.for_range(builder, builder.sdiv(n, index(_LANES))) as loop:
            at = builder.add(y0, builder.mul(loop.index, index(_LANES)))
            place = _vector_at(builder, y, at, vector)
            _store(builder, _gelu_of(builder, _load(builder, place), vector), place)
        return context.get_dummy_value()

    def gelu(context: Any, y: Any, y0: Any, n: Any) -> Any:
        return types.void(y, y0, n), generate

    made: Callable[..., None] = intrinsic(gelu)
    return made


_tall, _middle, _one = _tile(_TALL, 1), _tile(_MIDDLE, 1), _tile(1, 1)
_broad = _tile(1, _BROAD)
_gelu = _make_gelu()


@kernel
def _forward(panels: FloatArray, sizes: Any, x: FloatArray, out: FloatArray) -> None:
    """All layers for rows x [R, sizes[0]] into out [R, sizes[-1]]; `panels` as `_packed` makes them."""
    depth, flat = len(sizes) - 1, x.reshape(-1)
    width = (sizes[1:].max() + PANEL - 1) // PANEL * PANEL
    half = min(_CHUNK, len(x)) * width
    work = np.empty(2 * half, dtype=np.float32)  # numbers before and after a layer
    for low in range(0, len(x), _CHUNK):
        rows = min(_CHUNK, len(x) - low)
        source, at, stride, w, to = flat, low * sizes[0], sizes[0], 0, 0
        for layer in range(depth):
            n_inputs, n_panels = sizes[layer], (sizes[layer + 1] + PANEL - 1) // PANEL
            size, panel = (n_inputs + 1) * PANEL, 0
            while panel < n_panels:
                column, taken, r = to + panel * PANEL, 1, 0
                if rows == 1 and panel + _BROAD <= n_panels:
                    _broad(source, at, stride, panels, w, n_inputs, work, column, width)
                    taken, r = _BROAD, 1
                while r + _TALL <= rows:
                    _tall(
                        source, at + r * stride, stride, panels, w, n_inputs, work, column + r * width, width
                    )
                    r += _TALL
                while r + _MIDDLE <= rows:
                    _middle(
                        source, at + r * stride, stride, panels, w, n_inputs, work, column + r * width, width
                    )
                    r += _MIDDLE
                while r < rows:
                    _one(
                        source, at + r * stride, stride, panels, w, n_inputs, work, column + r * width, width
                    )
                    r += 1
                w += taken * size
                panel += taken
            if layer < depth - 1:
                for r in range(rows):
                    _gelu(work, to + r * width, n_panels * PANEL)
            source, at, stride, to = work, to, width, half - to
        for r in range(rows):
            out[low + r] = work[at + r * width : at + r * width + sizes[depth]]


class RowwiseMlp:
    """An MLP with GELU (tanh form) between its layers and a linear output, on the CPU in single precision.

    Args:
        weights: of each layer, [outputs, inputs].
        biases: of each layer, [outputs].
    """

    def __init__(self, weights: Sequence[Tensor], biases: Sequence[Tensor]) -> None:
        self._sizes = np.array([weights[0].shape[1], *(len(weight) for weight in weights)], dtype=np.int64)
        self._n_outputs = len(weights[-1])
        self._panels = np.concatenate(
            [_packed(w.detach().numpy(), b.detach().numpy()) for w, b in zip(weights, biases, strict=True)]
        )
        self(
            torch.zeros(1, int(self._sizes[0]))
        )  # loads the kernel, and compiles it on a machine's first use

    def __call__(self, x: Tensor) -> Tensor:
        """[..., inputs] to [..., outputs]."""
        rows = np.ascontiguousarray(x.numpy()).reshape(-1, x.shape[-1])
        out = np.empty((len(rows), self._n_outputs), dtype=np.float32)
        _forward(self._panels, self._sizes, rows, out)
        made = torch.from_numpy(out)
        return made if x.ndim == 2 else made.reshape(*x.shape[:-1], -1)


def _packed(weight: FloatArray, bias: FloatArray) -> FloatArray:
    """A layer panel by panel: 32 biases, then for each input its 32 weights; missing outputs are zeros."""
    outputs, inputs = weight.shape
    padded = np.zeros((-(-outputs // PANEL) * PANEL, 1 + inputs), dtype=np.float32)
    padded[:outputs, 0], padded[:outputs, 1:] = bias, weight
    return padded.reshape(-1, PANEL, 1 + inputs).transpose(0, 2, 1).reshape(-1)
