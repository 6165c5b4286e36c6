"""Writes the recorded vault with Flashbax, which the project itself does not need."""

from __future__ import annotations

import os
import sys
from typing import Any

import numpy as np
import vault_formulas


def record(folder: str) -> None:
    os.environ["JAX_PLATFORMS"] = "cpu"
    os.chdir(folder)
    import jax.numpy as jnp
    from flashbax.buffers.trajectory_buffer import TrajectoryBufferState
    from flashbax.vault import Vault

    tree: dict[str, Any] = {"infos": {}}
    for name, values in vault_formulas.rows().items():
        *branch, leaf = name.removesuffix(".").split(".")
        # One row more than is written: the index points behind the last one.
        padded = jnp.asarray(np.concatenate([values, values[:1]])[None])
        (tree["infos"] if branch else tree)[leaf] = padded
    vault = Vault("3m.vlt", tree, rel_dir="og_marl/smac_v1", vault_uid="Good")
    last = jnp.asarray(vault_formulas.N_ROWS)
    vault.write(TrajectoryBufferState(experience=tree, current_index=last, is_full=jnp.asarray(False)))


if __name__ == "__main__":
    record(sys.argv[1])
