"""Bounds on the values of options."""

from __future__ import annotations

from env_adapters.errors import InvalidValueError


def check_at_least(option: str, value: int, least: int) -> None:
    """Raise InvalidValueError, naming option and value, unless `value` is at least `least`."""
    if value < least:
        raise InvalidValueError(f"{option} is {value}; give at least {least}")


def check_between(option: str, value: float, low: float, high: float) -> None:
    """Raise InvalidValueError, naming option and value, unless `value` lies in [low, high] (NaN does not)."""
    if not low <= value <= high:
        raise InvalidValueError(f"{option} is {value}; give a number from {low:.12g} to {high:.12g}")
