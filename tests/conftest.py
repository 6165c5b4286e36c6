"""Fixtures of the dataset tests, and how property tests run: never against the clock."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import settings
from recorded import some_episodes, write

from env_adapters.rollout import Episode

settings.register_profile("untimed", deadline=None)  # a busy machine is no defect
settings.load_profile("untimed")


@pytest.fixture
def episodes() -> list[Episode]:
    return some_episodes()


@pytest.fixture
def path(tmp_path: Path, episodes: list[Episode]) -> Path:
    write(tmp_path / "data.h5", episodes)
    return tmp_path / "data.h5"
