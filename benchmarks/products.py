"""The matrix products of a piece of code, recorded and made again without anything around them: its bound."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

_PRODUCTS = (
    torch.ops.aten.mm.default,
    torch.ops.aten.addmm.default,
    torch.ops.aten.bmm.default,
    torch.ops.aten.baddbmm.default,
)


class Products(NamedTuple):
    """What was recorded."""

    again: Callable[[], None]
    """Makes every product once more, with operands of the same shapes and memory layouts."""
    flop: int
    """Multiplications and additions of all of them."""
    n_products: int


class _Recorder(TorchDispatchMode):  # type: ignore[no-untyped-call]
    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.calls: list[tuple[Any, tuple[Any, ...], dict[str, Any]]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in _PRODUCTS:
            self.calls.append((func, tuple(_alike(value) for value in args), dict(kwargs or {})))
        return func(*args, **(kwargs or {}))


def _alike(value: Any) -> Any:
    """Another tensor of the same shape, layout, type and device, filled with small numbers; all else as it is."""
    if not isinstance(value, Tensor):
        return value
    size = 1 + sum((n - 1) * stride for n, stride in zip(value.shape, value.stride(), strict=True))
    memory = torch.linspace(-1.0, 1.0, size, device=value.device).to(value.dtype)
    return memory.as_strided(value.shape, value.stride())


def record(code: Callable[[], None]) -> Products:
    """Run some code once and record its matrix products."""
    with _Recorder() as recorder:
        code()
    flop = 0
    for _, args, _ in recorder.calls:
        left, right = [value for value in args if isinstance(value, Tensor)][-2:]
        flop += 2 * left.numel() * right.shape[-1]

    def again() -> None:
        with torch.no_grad():
            for function, args, kwargs in recorder.calls:
                function(*args, **kwargs)

    return Products(again, flop, len(recorder.calls))
