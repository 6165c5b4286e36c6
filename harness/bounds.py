"""Bounds on the values of options."""

from __future__ import annotations

from env_adapters.errors import InvalidValueError


def check_at_least(option: str, value: int, least: int) -> None:
    """Raise InvalidValueError, naming option and value, unless `value` is at least `least`."""
    if value < least:
        raise InvalidValueError(f"{option} is {value}; give at least {least}")
