"""What a device can do, and what it says when it cannot, as the errors of this project."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from agents.training_options import Execution, Precision
from env_adapters.errors import InvalidValueError


def check_execution(execution: Execution, device: torch.device) -> None:
    """Raise InvalidValueError for what only a CUDA device has."""
    if device.type == "cuda":
        return
    if execution.precision == "tf32":
        raise InvalidValueError("--precision tf32 needs a CUDA device; use fp32 or bf16")
    if execution.cuda_graph:
        raise InvalidValueError("--cuda-graph needs a CUDA device; leave it away")


@contextmanager
def matmul_precision(precision: Precision) -> Iterator[None]:
    """Matrix products of float32 inside: in full, or through tf32; torch knows this only for the whole process."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high" if precision == "tf32" else "highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


@contextmanager
def device_errors(device: torch.device) -> Iterator[None]:
    """Turn what torch raises inside into InvalidValueError: out of memory, or a compiler that fails."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if isinstance(error, MemoryError | torch.OutOfMemoryError) or "can't allocate memory" in str(error):
            raise InvalidValueError(
                f"out of memory on {device}: lower --batch-size, --hidden or --seeds, or add --stacked off"
            ) from error
        if type(error).__module__.startswith(("torch._dynamo", "torch._inductor")):
            reason = str(error).strip().splitlines()[0]
            raise InvalidValueError(
                f"--compile: torch cannot compile the losses here ({reason}); leave it away"
            ) from error
        raise
