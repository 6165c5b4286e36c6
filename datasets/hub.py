"""Downloads an archive through the package huggingface_hub, for what needs the user's token or its own transfer."""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path
from typing import Any

from datasets.cache import check_online
from env_adapters.errors import DownloadError, MissingExtraError
from env_adapters.files import writing


def _package() -> Any:
    try:
        import huggingface_hub
    except ImportError as error:
        raise MissingExtraError("--via hub", "hub") from error
    return huggingface_hub


def download(repository: str, path: str, target: Path) -> str:
    """Put one file of a data set repository at `target`, and return its SHA-256.

    The package checks sizes and resumes by itself, and keeps nothing in its own cache.

    Raises:
        MissingExtraError: the package is not installed.
        DownloadError: offline, or the package failed; its first line is quoted.
        OutputError: the file cannot be written.
    """
    package = _package()
    check_online(f"{repository}/{path}")
    beside = target.with_name(f"{target.name}.hub")
    with writing(beside):
        beside.mkdir(exist_ok=True)
    try:
        got = package.hf_hub_download(
            repo_id=repository, filename=path, repo_type="dataset", local_dir=beside
        )
    except Exception as error:  # the package has many, from several libraries; what has arrived stays
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise DownloadError(f"huggingface_hub could not fetch {repository}/{path}: {first}") from error
    found = Path(got)
    with writing(target):
        with found.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            os.fsync(file.fileno())
        found.replace(target)
    shutil.rmtree(beside, ignore_errors=True)
    return digest
