"""What can be chosen about an offline training, whatever the agent. Importing this module loads no torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from env_adapters.bounds import check_at_least, check_between

Precision = Literal["fp32", "tf32", "bf16"]


@dataclass(frozen=True)
class TrainConfig:
    """How to train, whatever the agent."""

    steps: int = 100_000
    """Gradient steps (the paper: 1e6 on SMAC, 5e5 on MuJoCo)."""
    batch_size: int = 64
    """Transitions per step (Table 3)."""
    learning_rate: float = 3e-4
    """Adam (Table 3)."""
    seed: int = 0
    """Decides initial weights, batches and noise; with --seeds the first of several."""
    seeds: int = 1
    """Trainings side by side, of seeds SEED, SEED + 1, ... (the paper: 6)."""
    log_every: int = 1000
    """Steps between rows of the learning curve."""
    save_every: int = 5000
    """Steps between training states on disk."""

    def __post_init__(self) -> None:
        """Reject values that make no sense."""
        for field in ("steps", "batch_size", "seeds", "log_every", "save_every"):
            check_at_least(field, getattr(self, field), 1)
        check_between("learning_rate", self.learning_rate, 1e-12, 1.0)


@dataclass(frozen=True)
class Execution:
    """How the numbers are computed; every choice but the default changes them within rounding."""

    stacked: Literal["auto", "on", "off"] = "auto"
    """All seeds as one program over stacked parameters, or one after the other; auto: stacked on a CUDA device."""
    precision: Precision = "fp32"
    """Of matrix products: fp32, tf32 (CUDA only) or bf16 (autocast; weights and optimiser stay fp32)."""
    compile: bool = False
    """Compile the losses with torch.compile (on a CPU this needs a C++ compiler)."""
    cuda_graph: bool = False
    """Record one step as a CUDA graph and replay it: little work for Python, much memory; CUDA only."""
