"""What counts as 0 and as 100: two measured returns per scenario, layout and engine.

`references.json` holds them with their origin; `harness bench references` measures them again. Results of one
engine are never normalised by the references of another: where there is no exact entry, there is no score.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

from env_adapters.errors import CorruptFileError, InvalidValueError
from env_adapters.files import write_atomic

FILE = Path(__file__).with_name("references.json")
"""The references that ship."""
SCHEMA_VERSION = 1


@dataclass(frozen=True)
class Score:
    """A return and where it comes from."""

    team: str
    """Who scored it (`random`, `ppo-expert`), or `won battle`: the return of a battle won, by definition."""
    mean: float
    standard_error: float | None = None
    """Of the mean; None where the return is a definition."""
    episodes: int | None = None
    """Episodes played, from root seed 0; None where the return is a definition."""
    agent_hash: str | None = None
    """First 12 hex digits of the team's hash."""


@dataclass(frozen=True)
class References:
    """Two returns that define a scale.

    Raises:
        InvalidValueError: a return is not finite, or the strong one is not above the random one.
    """

    scenario: str
    """Versioned id."""
    layout: str
    engine: str
    random: Score
    """Counts as 0."""
    strong: Score
    """Counts as 100."""

    def __post_init__(self) -> None:
        low, high = self.random.mean, self.strong.mean
        if not (math.isfinite(low) and math.isfinite(high) and low < high):
            raise InvalidValueError(
                f"references of {self.scenario} are {low:g} and {high:g}; the strong one must be the larger one"
            )


WON_BATTLE = Score("won battle", 20.0)
"""SMAC v1 scales its rewards so that killing every enemy and winning sums to 20 (Samvelyan et al., "The StarCraft
multi-agent challenge", 2019, appendix B). Where enemies heal or recharge shields, returns can lie above it."""


def normalised(score: float, references: References) -> float:
    """100 (score - random) / (strong - random); below 0 and above 100 are possible.

    J. Fu et al., "D4RL: datasets for deep data-driven reinforcement learning" (2020), section 5.
    """
    low, high = references.random.mean, references.strong.mean
    return 100.0 * (score - low) / (high - low)


def find_references(scenario: str, layout: str, engine: str) -> References | None:
    """The shipped references of exactly this scenario id, layout and engine; None where there are none."""
    return _shipped().get((scenario, layout, engine))


def describe(references: References) -> str:
    """Both returns in words, as results carry them: `0 = random 1.76 ± 0.06 (n=100), 100 = won battle 20`."""
    return f"0 = {_words(references.random)}, 100 = {_words(references.strong)}"


def _words(score: Score) -> str:
    if score.standard_error is None:
        return f"{score.team} {score.mean:g}"
    return f"{score.team} {score.mean:.4g} ± {score.standard_error:.2g} (n={score.episodes})"


@cache
def _shipped() -> dict[tuple[str, str, str], References]:
    return {(r.scenario, r.layout, r.engine): r for r in load_references(FILE)}


def load_references(path: Path) -> list[References]:
    """Every entry of a file that `write_references` wrote.

    Raises:
        CorruptFileError: the file cannot be read or is none of ours.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        if data["schema_version"] != SCHEMA_VERSION:
            raise CorruptFileError(
                f"{path} has references schema {data['schema_version']}, not {SCHEMA_VERSION}"
            )
        return [_from_json(entry) for entry in data["references"]]
    except (OSError, ValueError, KeyError, TypeError, InvalidValueError) as error:
        raise CorruptFileError(
            f"{path} holds no references: {error}; make them with: harness bench references --out FILE"
        ) from error


def _from_json(entry: dict[str, Any]) -> References:
    return References(**entry | {name: Score(**entry[name]) for name in ("random", "strong")})


def write_references(path: Path, references: Sequence[References]) -> None:
    """Write references, sorted, one per line, so that changes show line by line.

    Raises:
        OutputError: the file cannot be written; an older one stays as it is.
    """
    ordered = sorted(references, key=lambda r: (r.layout, r.scenario.lower(), r.engine))
    lines = ",\n".join(f"  {json.dumps(_to_json(entry), allow_nan=False)}" for entry in ordered)
    head = f'{{\n "schema_version": {SCHEMA_VERSION},\n "made_by": "harness bench references --out FILE",\n'
    write_atomic(path, f'{head} "references": [\n{lines}\n ]\n}}\n'.encode())


def _to_json(entry: References) -> dict[str, Any]:
    """Plain values, definitions without the empty fields of measurements."""
    values = asdict(entry)
    return {
        name: {k: v for k, v in value.items() if v is not None} if isinstance(value, dict) else value
        for name, value in values.items()
    }
