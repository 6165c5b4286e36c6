"""Fixtures of the dataset tests."""

from __future__ import annotations

from pathlib import Path

import pytest
from recorded import some_episodes, write

from env_adapters.rollout import Episode


@pytest.fixture
def episodes() -> list[Episode]:
    return some_episodes()


@pytest.fixture
def path(tmp_path: Path, episodes: list[Episode]) -> Path:
    write(tmp_path / "data.h5", episodes)
    return tmp_path / "data.h5"
