"""The error that every broken rule raises."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from env_adapters.errors import ActionError


class ConformanceError(AssertionError):
    """A rule of the contract that an adapter breaks; the message starts with the rule's name.

    Attributes:
        rule: the rule's name.
    """

    def __init__(self, rule: str, detail: str) -> None:
        super().__init__(f"{rule}: {detail}")
        self.rule = rule


def require(holds: bool, rule: str, detail: str) -> None:
    """Raise ConformanceError unless the rule holds."""
    if not holds:
        raise ConformanceError(rule, detail)


@contextlib.contextmanager
def accepted() -> Iterator[None]:
    """Around a step with actions the adapter's own masks offer: refusing one breaks a rule."""
    try:
        yield
    except ActionError as error:
        raise ConformanceError("available actions are accepted", f"one was refused: {error}") from error
