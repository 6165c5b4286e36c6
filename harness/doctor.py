"""Is this machine ready? Answers from files and package metadata, without importing anything heavy."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import util
from pathlib import Path
from typing import Literal

from env_adapters.errors import MismatchError
from env_adapters.files import user_cache
from env_adapters.mamujoco.versions import check_mujoco
from harness.passport import (
    CORE_PACKAGES,
    EXTRA_PACKAGES,
    PROJECT_ROOT,
    gpu_models,
    installed_version,
)
from harness.tables import render
from videos import backends

_PYTHONS = ((3, 11), (3, 14))
"""Supported versions, from the first to before the second; as `requires-python` in pyproject.toml."""

_FREE_DISK_GIB = 2.0
"""A comfortable room for datasets, checkpoints and videos of a few runs."""

_SHADOWED = ("datasets", "agents")
"""Import packages of ours that share their name with a well-known third-party distribution."""

_GL_LIMIT_S = 5.0
"""How long OpenGL may take to give a picture; usually it takes less than a second."""

_GL_LABELS = {"egl": "EGL", "osmesa": "OSMesa", "glfw": "GLFW", "": "the system's OpenGL"}
_GL_REMEDY = "optional, for 3-D films: sudo apt-get install libosmesa6 (or libegl1 libgl1-mesa-dri)"


@dataclass(frozen=True)
class Check:
    """One answer of the doctor."""

    name: str
    status: Literal["ok", "warning", "missing"]
    """`missing`: the main job will not run; `warning`: something optional is absent or doubtful."""
    detail: str
    remedy: str = ""
    """How to get it; empty when nothing is to be done."""


def _python() -> Check:
    first, end = _PYTHONS
    version = ".".join(map(str, sys.version_info[:3]))
    if first <= sys.version_info[:2] < end:
        return Check("python", "ok", version)
    wanted = f"Python {first[0]}.{first[1]} up to {end[0]}.{end[1] - 1}"
    return Check("python", "missing", f"{version} is not supported", f"install {wanted}")


def _core_packages() -> Iterator[Check]:
    for name in CORE_PACKAGES:
        version = installed_version(name)
        if version is None:
            yield Check(name, "missing", "not installed", f"pip install {name}")
        else:
            yield Check(name, "ok", version)


def _extra_packages() -> Iterator[Check]:
    for name in EXTRA_PACKAGES:
        version = installed_version(name)
        extra = "pettingzoo" if name == "pettingzoo" else "mujoco"
        if version is None:
            yield Check(name, "warning", "not installed (optional)", f"pip install 'marl-harness[{extra}]'")
        elif name == "mujoco":
            yield _mujoco(version)
        else:
            yield Check(name, "ok", version)


def _mujoco(version: str) -> Check:
    try:
        check_mujoco()
    except MismatchError as error:
        detail, _, remedy = str(error).partition("; install it with: ")
        return Check("mujoco", "warning", detail, remedy)
    return Check("mujoco", "ok", version)


def _cuda() -> Check:
    gpus = gpu_models()
    torch = installed_version("torch") or ""
    if not gpus and shutil.which("nvidia-smi") is None:
        return Check("cuda", "ok", "no NVIDIA driver: everything runs on the CPU")
    device = ", ".join(gpus) or "nvidia-smi found"
    if torch.endswith("+cpu"):
        remedy = "install a CUDA build of torch (pytorch.org/get-started)"
        return Check("cuda", "warning", f"{device}, but torch {torch} is a CPU build", remedy)
    return Check("cuda", "ok", f"{device}; whether torch {torch} can use it shows on first use")


def _can_write_below(folder: Path) -> bool:
    """Whether a folder can be written, or created in the nearest ancestor that exists."""
    existing = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    return existing.is_dir() and os.access(existing, os.W_OK)


def _engine_cache() -> Check:
    """Compiled kernels live in the user's cache folder, see env_adapters.starcraft.jit."""
    user = user_cache()
    if _can_write_below(user):
        return Check("engine cache", "ok", str(user))
    detail = f"cannot write {user}: kernels are kept in the temporary folder"
    return Check("engine cache", "warning", detail, "set XDG_CACHE_HOME to a folder you can write")


def _gl() -> Check:
    """Which way robots are drawn: by asking for a picture, since a library without a driver draws nothing."""
    name, flat = "MuJoCo frames", "robots are drawn as flat shapes"
    own, candidates = backends.chosen(), backends.candidates()
    labels = " or ".join(_GL_LABELS.get(backend, backend) for backend in candidates)
    if not candidates:
        if own is not None:
            return Check(name, "ok", f"{flat}, as MUJOCO_GL={own} asks")
        return Check(name, "warning", f"no OpenGL library: {flat}", _GL_REMEDY)
    if installed_version("mujoco") is None:
        return Check(name, "ok", f"3-D through {labels}, a guess: it cannot be asked without mujoco")
    try:
        device = backends.find_device(_GL_LIMIT_S)
    except TimeoutError as error:
        slow = _GL_LABELS.get(str(error), str(error))
        detail = f"3-D through {labels}, a guess: {slow} gave no picture within {_GL_LIMIT_S:g} s"
        return Check(name, "warning", detail, "ask again; MUJOCO_GL=disable draws flat shapes without OpenGL")
    if device is None:
        remedy = _GL_REMEDY if own is None else f"unset MUJOCO_GL; {_GL_REMEDY}"
        asked = labels if own is None else f"MUJOCO_GL={own}"
        return Check(name, "warning", f"no picture through {asked}: {flat}", remedy)
    kind = "software" if device.software else "hardware"
    label = _GL_LABELS.get(device.backend, device.backend)
    return Check(name, "ok", f"3-D through {label} ({kind}: {device.renderer})")


def _ffmpeg() -> Check:
    chosen = os.environ.get("IMAGEIO_FFMPEG_EXE")
    spec = util.find_spec("imageio_ffmpeg")
    roots = (spec.submodule_search_locations or []) if spec else []
    bundled = [file for root in roots for file in Path(root, "binaries").glob("ffmpeg-*")]
    program = chosen or (str(bundled[0]) if bundled else shutil.which("ffmpeg"))
    if program is None or not Path(program).is_file():
        detail = f"no program at {program}" if program else "no program found"
        return Check("ffmpeg", "missing", detail, "pip install --force-reinstall imageio-ffmpeg")
    return Check("ffmpeg", "ok", program)


def _starcraft() -> Check:
    folder = os.environ.get("SC2PATH")
    if folder and not Path(folder).is_dir():
        return Check(
            "StarCraft II", "warning", f"SC2PATH={folder} is not a folder", "correct or unset SC2PATH"
        )
    detail = f"{folder}" if folder else "not installed and not needed: the embedded engine plays"
    return Check("StarCraft II", "ok", detail)


def _own_package(name: str) -> Check:
    """Whether an import name of ours leads to our folder and to nobody else's."""
    spec = util.find_spec(name)
    places = list(spec.submodule_search_locations or []) if spec else []
    own = PROJECT_ROOT / name
    advice = "give the project an environment of its own"
    if not places or Path(places[0]).resolve() != own:
        found = places[0] if places else "nothing"
        return Check(f"import {name}", "missing", f"leads to {found}, not to {own}", advice)
    foreign = installed_version(name)
    if foreign is not None:
        detail = f"the third-party package {name} {foreign} is installed too"
        return Check(f"import {name}", "warning", detail, f"pip uninstall {name}, or {advice}")
    return Check(f"import {name}", "ok", str(own))


def _disk() -> Check:
    free = shutil.disk_usage(Path.cwd()).free / 2**30
    detail = f"{free:.1f} GiB free in {Path.cwd()}"
    if free < _FREE_DISK_GIB:
        return Check("disk", "warning", detail, "free some space, or work in another folder")
    return Check("disk", "ok", detail)


def diagnose() -> list[Check]:
    """Look at interpreter, packages, devices, libraries and folders; takes about a second."""
    return [
        _python(),
        *_core_packages(),
        _cuda(),
        _engine_cache(),
        *_extra_packages(),
        _gl(),
        _ffmpeg(),
        _starcraft(),
        *(_own_package(name) for name in _SHADOWED),
        _disk(),
    ]


def format_checks(checks: Sequence[Check]) -> str:
    """The checks as a table, and a last line that says what they mean together."""
    rows = [(check.name, check.status, check.detail, check.remedy) for check in checks]
    missing = [check.name for check in checks if check.status == "missing"]
    warnings = sum(check.status == "warning" for check in checks)
    verdict = f"not ready: {', '.join(missing)} missing" if missing else "ready"
    notes = f" ({warnings} warning{'s' if warnings != 1 else ''})" if warnings else ""
    return f"{render(('check', 'status', 'detail', 'how to get it'), rows)}\n\n{verdict}{notes}"
