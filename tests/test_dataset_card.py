"""The card survives its JSON, and JSON that is no card is refused with a reason."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from datasets.formats.native import open_dataset
from datasets.schema import DatasetCard
from env_adapters.errors import (
    CorruptFileError,
    InvalidValueError,
)


def test_card_round_trip(path: Path) -> None:
    card = open_dataset(path).card
    assert DatasetCard.from_json(card.to_json()) == card
    assert card.shares == (1.0,)
    assert (card.seed, card.engine, card.has_available_actions) == (7, "toy/1", True)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("n_agents", "2", r"'card.n_agents' is '2', expected int"),
        ("n_agents", True, "expected int"),
        ("n_agents", 0, "n_agents is 0"),
        ("mean_episode_length", 3, "expected float"),
        ("win_rate", 1.5, "win_rate is 1.5"),
        ("action_kind", "both", "'card.action_kind' is 'both'"),
        ("behaviours", {}, "'card.behaviours'"),
        ("behaviours", [{"name": "x"}], r"'card.behaviours\[0\]' must be an object with the keys"),
        ("behaviours", [], "played 0 episodes"),
        ("returns", None, "'card.returns' must be an object"),
        ("sha256", "xyz", "hexadecimal"),
        ("n_transitions", 3, "cannot fill 4 episodes"),
        ("surprise", 1, "must be an object with the keys"),
        ("format_version", 3, "format version 3, this program reads 2"),
    ],
)
def test_card_validation(path: Path, key: str, value: object, message: str) -> None:
    fields = json.loads(open_dataset(path).card.to_json())
    fields[key] = value
    with pytest.raises(CorruptFileError, match=message):
        DatasetCard.from_json(json.dumps(fields))


def test_cards_of_version_1_are_read(path: Path) -> None:
    card = open_dataset(path).card
    fields = json.loads(card.to_json())
    del fields["source"], fields["notes"]
    assert DatasetCard.from_json(json.dumps({**fields, "format_version": 1})) == card
    with pytest.raises(CorruptFileError):
        DatasetCard.from_json(json.dumps(fields))


def test_card_that_is_no_card(path: Path) -> None:
    card = open_dataset(path).card
    fields = json.loads(card.to_json())
    del fields["layout"]
    not_finite = card.to_json().replace("2.75", "NaN")
    assert "NaN" in not_finite
    for text in ("", "[]", "{", b"\xff", json.dumps(fields), not_finite):
        with pytest.raises(CorruptFileError):
            DatasetCard.from_json(text)
    with pytest.raises(InvalidValueError, match="not finite"):
        dataclasses.replace(card, mean_episode_length=float("nan"))
