"""What a checkpoint says about itself before its weights are read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

from safetensors import SafetensorError, safe_open

from env_adapters.errors import CorruptFileError

METADATA: Final = "marl-harness"
"""Key of the one metadata entry of our safetensors files."""


def layout_of(path: Path) -> str:
    """Layout id that the agent in a checkpoint was made for. No weight is read, hence no digest is checked.

    Raises:
        CorruptFileError: not a checkpoint of this project.
    """
    try:
        with safe_open(path, framework="np") as file:
            sealed = json.loads(file.metadata()[METADATA])
        return str(sealed["header"]["identity"]["spec"]["layout"])
    except (SafetensorError, OSError, ValueError, TypeError, KeyError) as error:
        raise CorruptFileError(
            f"{path} is not a checkpoint of this project ({error}); fetch or train it again"
        ) from error
