"""What two JSON objects say differently, key by key."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

_LONGEST = 40


class Difference(NamedTuple):
    """One key with two values; a missing one is None."""

    key: str
    """Dotted path."""
    before: Any
    after: Any


def _flatten(value: Any, name: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        return {name: value}
    return {
        path: leaf
        for key in value
        for path, leaf in _flatten(value[key], f"{name}.{key}".lstrip(".")).items()
    }


def differences(old: Any, new: Any) -> list[Difference]:
    """Every key in which two JSON objects differ, in their order."""
    before, after = _flatten(old, ""), _flatten(new, "")
    return [
        Difference(key, before.get(key), after.get(key))
        for key in before | after
        if before.get(key, ...) != after.get(key, ...)
    ]


def short(value: Any) -> str:
    """A JSON value in at most 40 characters; of a long list, how many entries it has."""
    if isinstance(value, list) and len(json.dumps(value)) > _LONGEST:
        return f"[{len(value)} entries]"
    text = json.dumps(value)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."


def in_one_line(found: list[Difference]) -> str:
    """The first three differences as text."""
    parts = [f"{key} {short(before)} -> {short(after)}" for key, before, after in found[:3]]
    return ", ".join(parts) + (f" and {len(found) - 3} more" if len(found) > 3 else "")
