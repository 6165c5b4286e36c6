"""Which MuJoCo is accepted, and what is said where there is none."""

from __future__ import annotations

import importlib.metadata
import sys

import pytest

from env_adapters import scenarios
from env_adapters.errors import MismatchError, MissingExtraError
from env_adapters.mamujoco.versions import check_mujoco


def forget(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if nothing of Multi-Agent MuJoCo had been imported."""
    for module in [name for name in sys.modules if name.startswith("env_adapters.mamujoco.")]:
        monkeypatch.delitem(sys.modules, module)


@pytest.mark.parametrize("package", ["mujoco", "gymnasium_robotics"])
def test_without_the_packages_the_error_names_the_extra(
    package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    forget(monkeypatch)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtraError, match=r"'ant_4x2' needs .*marl-harness\[mujoco\]"):
        scenarios.make("ant_4x2")


def install(monkeypatch: pytest.MonkeyPatch, **versions: str) -> None:
    """As if these versions of distributions were installed and no other."""

    def version(distribution: str) -> str:
        try:
            return versions[distribution.replace("-", "_")]
        except KeyError:
            raise importlib.metadata.PackageNotFoundError(distribution) from None

    monkeypatch.setattr(importlib.metadata, "version", version)


@pytest.mark.parametrize("version", ["3.17.0", "3.17.0rc1", "3.20", "4.0.0", "4.12.1"])
def test_supported_versions(version: str, monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, mujoco=version)
    check_mujoco()
    install(monkeypatch, mujoco_core=version)
    check_mujoco()


@pytest.mark.parametrize("version", ["2.3.7", "3.5.0", "3.16.9", "5.0.0", "10.1", "unknown"])
def test_other_versions_are_refused(version: str, monkeypatch: pytest.MonkeyPatch) -> None:
    message = (
        f"^mujoco {version} is installed, but .* 3.17 or newer and older than 5; "
        r"install it with: pip install 'mujoco>=3\.17,<4'$"
    )
    for distribution in ("mujoco", "mujoco_core"):
        install(monkeypatch, **{distribution: version})
        with pytest.raises(MismatchError, match=message):
            check_mujoco()
    forget(monkeypatch)
    with pytest.raises(MismatchError, match=message):
        scenarios.make("ant_4x2")


def test_a_version_nobody_states_is_left_to_the_import(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch)
    check_mujoco()
