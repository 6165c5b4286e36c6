"""The pages a reader meets: every link inside the project leads somewhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[1]
PAGES = sorted(
    path
    for path in PROJECT.rglob("*.md")
    if not {"runs", "data", "shared"} & set(path.relative_to(PROJECT).parts)
    and not any(part.startswith(".") for part in path.relative_to(PROJECT).parts)
)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(PROJECT)))
def test_links_lead_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8"))
    inside = [
        target.split("#")[0] for target in targets if "://" not in target and not target.startswith("#")
    ]
    missing = [target for target in inside if not (page.parent / target).exists()]
    assert not missing


def test_the_pages_are_found() -> None:
    names = {str(page.relative_to(PROJECT)) for page in PAGES}
    assert {"README.md", "docs/mujoco.md", "agents/zoo/README.md"} <= names
