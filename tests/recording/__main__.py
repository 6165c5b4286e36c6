"""Command line of the recorder: `python -m tests.recording --out DIR` or `--verify DIR`."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from fnmatch import fnmatch
from pathlib import Path

from env_adapters.errors import HarnessError, InvalidValueError, UnknownNameError

from .catalogue import PACKAGES, Recording, select
from .recorders import record
from .verify import load, verify

_PROTOBUF = "PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION"


def _arguments(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.recording", description=__doc__)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--out", type=Path, help="record golden files into this folder")
    what.add_argument("--verify", type=Path, help="recompute the golden files of this folder and compare")
    parser.add_argument("--tables", type=int, default=200, help="tables per file (default 200)")
    parser.add_argument("--only", default="*", help="shell pattern of file names without .npz")
    parser.add_argument("--seed", type=int, default=1, help="seed of all inputs (default 1)")
    parser.add_argument("--package", choices=PACKAGES, help="only the files of one upstream package")
    parser.add_argument("--resume", action="store_true", help="keep files that are already there")
    return parser.parse_args(argv)


def _record_one(args: argparse.Namespace, recording: Recording, path: Path) -> None:
    if args.resume and path.exists():
        return
    start = time.monotonic()
    record(recording, args.tables, args.seed, path)
    size_kb, duration_s = path.stat().st_size / 1e3, time.monotonic() - start
    print(f"{path.stem}: {args.tables} tables, {size_kb:.0f} kB, {duration_s:.1f} s", flush=True)


def _verify_one(path: Path) -> bool:
    result = verify(path)
    verdict = "equal" if not result.differences else "DIFFERENT"
    print(f"{path.stem}: {result.n_tables} tables, {result.n_elements} elements, {verdict}", flush=True)
    for line in result.differences:
        print(f"    {line}", flush=True)
    return not result.differences


def _selected(args: argparse.Namespace) -> list[tuple[Recording, Path]]:
    """The files to work on: those of the catalogue, or those of the folder to verify."""
    if args.tables < 1:
        raise InvalidValueError(f"--tables is {args.tables}: give at least 1")
    if args.verify is None:
        found = [(recording, args.out / f"{recording.name}.npz") for recording in select(args.only)]
    else:
        paths = [path for path in sorted(args.verify.glob("*.npz")) if fnmatch(path.stem, args.only)]
        found = [(load(path)[0], path) for path in paths]
    found = [(recording, path) for recording, path in found if args.package in (None, recording.package)]
    if not found:
        raise UnknownNameError(f"no file matches '{args.only}': tests/recording/catalogue.py has the names")
    return found


def _each_package(argv: Sequence[str], packages: Sequence[str]) -> int:
    """One process per package: pysc2 refuses two packages that register maps of the same names."""
    command = [sys.executable, "-m", "tests.recording", *argv, "--package"]
    return max(abs(subprocess.run([*command, package], check=False).returncode) for package in packages)


def main(argv: Sequence[str]) -> int:
    """Record or verify; 0 when everything went well, 1 when a file differs, else the error's exit code."""
    os.environ.setdefault(_PROTOBUF, "python")
    args = _arguments(argv)
    try:
        found = _selected(args)
        packages = sorted({recording.package for recording, _ in found})
        if len(packages) > 1:
            return _each_package(argv, packages)
        if args.verify is not None:
            return 0 if all([_verify_one(path) for _, path in found]) else 1
        for recording, path in found:
            _record_one(args, recording, path)
        return 0
    except HarnessError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
