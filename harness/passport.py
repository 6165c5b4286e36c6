"""Where a run was made: code, machine, versions. Recorded, never used to decide anything."""

from __future__ import annotations

import hashlib
import os
import platform
import subprocess
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from env_adapters.version import DISTRIBUTION, project_version

PROJECT_ROOT = Path(__file__).resolve().parents[1]
"""The folder that holds the import packages: a checkout, or site-packages."""


CORE_PACKAGES = (
    "numpy",
    "numba",
    "torch",
    "safetensors",
    "h5py",
    "pandas",
    "imageio",
    "imageio-ffmpeg",
    "pillow",
    "rich",
    "tyro",
)
"""Packages that the project always needs."""

EXTRA_PACKAGES = ("mujoco", "gymnasium", "gymnasium-robotics", "pettingzoo")
"""Packages that some scenarios and adapters need."""

_ENVIRONMENT = (
    "CUDA_VISIBLE_DEVICES",
    "CUBLAS_WORKSPACE_CONFIG",
    "MKL_NUM_THREADS",
    "MUJOCO_GL",
    "NUMBA_NUM_THREADS",
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "PYTHONHASHSEED",
)
"""The only environment variables that are recorded: the rest may hold secrets."""


def installed_version(distribution: str) -> str | None:
    """Version of an installed distribution, read from its metadata without importing it; None if absent."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def _read_text(path: str) -> str | None:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None


def _git(root: Path) -> dict[str, Any] | None:
    """Commit of the checkout at `root`, and how tracked files differ from it; None outside a checkout."""
    if not (root / ".git").exists():
        return None
    try:
        commit = _ask_git(root, "rev-parse", "HEAD").decode().strip()
        changes = _ask_git(root, "diff", "HEAD", "--binary")
    except (OSError, subprocess.SubprocessError):  # no git, no commit yet, or a folder git does not trust
        return None
    changes_hash = hashlib.sha256(changes).hexdigest()[:16] if changes else None
    return {"commit": commit, "dirty": bool(changes), "changes_hash": changes_hash}


def _ask_git(root: Path, *words: str) -> bytes:
    command = ["git", "--no-optional-locks", *words]
    return subprocess.run(command, cwd=root, capture_output=True, timeout=10, check=True).stdout


def cpu_model() -> str:
    """Name of the processor, or what the platform calls it."""
    for line in (_read_text("/proc/cpuinfo") or "").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def gpu_models() -> list[str]:
    """Names of the NVIDIA devices that the driver lists under /proc; empty without a driver."""
    found = []
    for file in sorted(Path("/proc/driver/nvidia/gpus").glob("*/information")):
        for line in (_read_text(str(file)) or "").splitlines():
            if line.startswith("Model:"):
                found.append(line.partition(":")[2].strip())
    return found


def _gpu_driver() -> str | None:
    """Version of the NVIDIA driver that is loaded."""
    words = (_read_text("/proc/driver/nvidia/version") or "").split()
    return next((word for word in words if word[0].isdigit() and "." in word), None)


def _memory_bytes() -> int | None:
    """Main memory of the machine."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):
        return None


def load_average() -> float | None:
    """Mean number of runnable processes over the last minute; None where the system does not count them."""
    try:
        return os.getloadavg()[0]
    except (AttributeError, OSError):
        return None


def frequency_governor() -> str | None:
    """How the system chooses the processor's frequency (`performance`, ...); None where it does not say."""
    governor = _read_text("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")
    return governor.strip() if governor else None


def usable_cores() -> int:
    """Cores this process may run on, which a container or a batch system can limit."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def passport() -> dict[str, Any]:
    """Everything about code and machine that helps to explain a result, as a JSON object.

    Reads files and package metadata; imports no heavy package. Of the environment only an allow-list of
    variables is recorded. What cannot be found out is None.
    """
    packages = {name: installed_version(name) for name in (*CORE_PACKAGES, *EXTRA_PACKAGES)}
    return {
        "recorded_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "project": DISTRIBUTION,
        "version": project_version(),
        "git": _git(PROJECT_ROOT),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "platform": platform.platform(),
        "cpu": cpu_model(),
        "cores": os.cpu_count(),
        "usable_cores": usable_cores(),
        "frequency_governor": frequency_governor(),
        "memory_bytes": _memory_bytes(),
        "gpus": gpu_models(),
        "gpu_driver": _gpu_driver(),
        "load_average": load_average(),
        "environment": {name: os.environ[name] for name in _ENVIRONMENT if name in os.environ},
        "packages": {name: version for name, version in packages.items() if version is not None},
    }
