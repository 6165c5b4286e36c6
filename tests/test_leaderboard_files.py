"""Tables as files: every digit comes back, and no name in them does anything."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sample_runs import finished_run, latency

from env_adapters.errors import OutputError
from harness.leaderboard import (
    COLUMNS,
    format_table,
    is_leaderboard,
    leaderboard,
    write_csv,
    write_json,
    write_latex,
    write_markdown,
)
from harness.sealed import seal, unseal

ROBOT: dict[str, Any] = dict(
    scenario="6halfcheetah-v1", engine="mujoco/3.3", layout="mamujoco-omiga-v2", wins=None, win_rate=None,
    win_rate_lower=None, win_rate_upper=None, training_seed=None, dataset=None, normalised_score=None,
    normalised_by=None,
)  # fmt: skip

HOSTILE = [
    "=cmd|' /C calc'!A0", "+1+1", "-1+1", "@SUM(A1)", "a;=1+1", 'x";=1+1', "\t=1", "\r\n=1", "\uff1d1+1",
    "two\nlines", "a|b", "back\\slash", "under_score_", "_lead", "50%", "\x1b[31mred\x1b[0m", "\u202egpj.exe",
    "<script>alert(1)</script>", "![x](http://evil)", "`rm`", "\\input{/etc/passwd}", "^^5cinput", "$x$", "a&b#c~",
    "[opt]", "*", "naïve 模型 ± 🎉", "\ud800",
]  # fmt: skip


def test_csv_and_json_read_back_with_every_digit(tmp_path: Path) -> None:
    frame = leaderboard(
        [
            finished_run(tmp_path / "a", [1], return_mean=0.1 + 0.2, timed=latency()),
            finished_run(tmp_path / "b", [1], **ROBOT),
        ]
    )
    write_csv(frame, tmp_path / "board.csv")
    write_json(frame, tmp_path / "board.json")
    read = pd.read_csv(tmp_path / "board.csv")
    table = json.loads((tmp_path / "board.json").read_text(), parse_constant=lambda word: pytest.fail(word))
    assert (table["schema_version"], table["average"], table["columns"]) == (1, None, list(COLUMNS))
    assert table["rows"][0]["return_mean"] == read["return_mean"][0] == 0.1 + 0.2
    assert table["rows"][1]["win_rate"] is None and pd.isna(read["win_rate"][1])
    for column in COLUMNS:
        for place in range(2):
            stored, original = table["rows"][place][column], frame[column][place]
            assert stored is None if pd.isna(original) else stored == original, column
    numeric = frame.select_dtypes("number").columns
    pd.testing.assert_frame_equal(
        frame[numeric].astype(float), read[numeric].astype(float), check_dtype=False, rtol=0, atol=0
    )
    rows = list(csv.DictReader((tmp_path / "board.csv").open(newline="")))
    assert (rows[0]["training_seed"], rows[1]["training_seed"]) == ("0", ""), "whole numbers beside blanks"


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_are_inert_in_every_format(tmp_path: Path, name: str) -> None:
    run = finished_run(tmp_path / "run", [1], dataset="3m-good")
    values = unseal((run / "summary.json").read_bytes())
    assert values is not None
    values.pop("checksum", None)
    (run / "summary.json").write_bytes(seal({**values, "agent": name, "dataset": name}))
    frame = leaderboard([run])
    for write in (write_csv, write_json, write_markdown, write_latex):
        write(frame, tmp_path / write.__name__)
    text = {path.name: path.read_bytes().decode() for path in tmp_path.glob("write_*")}
    assert json.loads(text["write_json"])["rows"][0]["agent"] == name, "JSON keeps every character"
    for kind, content in text.items():
        assert content.isascii() or kind != "write_json"
        assert all(character.isprintable() or character == "\n" for character in content), kind
    header, row = list(csv.reader(text["write_csv"].splitlines()))
    assert len(row) == len(header)
    for part in re.split(r"[;,|\t]", row[header.index("agent")]):
        assert not part.lstrip(" \"'").startswith(tuple("=+-@\uff1d")) or part.lstrip(' "').startswith("'")
    widths = {
        len(re.findall(r"(?<!\\)\|", line)) for line in text["write_markdown"].splitlines() if line[:1] == "|"
    }
    assert len(widths) == 1, "no cell ends early"
    assert "<script" not in text["write_markdown"] and not re.search(r"(?<!\\)\]\(", text["write_markdown"])
    lines = [
        line for line in text["write_latex"].splitlines() if line.endswith(r"\\") and "multicol" not in line
    ]
    assert len(lines) == 2 and len({len(re.findall(r"(?<!\\)&", line)) for line in lines}) == 1
    assert not re.search(r"(?<!\\)[%#$]|\^\^|\\input", lines[1]) and lines[1][0] not in "[*"
    assert len(format_table(frame).splitlines()) == len(format_table(tame(frame)).splitlines())


def tame(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.assign(agent="bc", dataset="3m-good")


@settings(max_examples=80)
@given(st.text(max_size=8), st.sampled_from(["", "=", "+", "-", "@", "\t", "\r", "a;", 'a,"', "1|"]))
def test_no_text_cell_is_a_formula(tmp_path_factory: pytest.TempPathFactory, text: str, start: str) -> None:
    path = tmp_path_factory.getbasetemp() / "formula.csv"
    write_csv(pd.DataFrame({"agent": [start + text], "@return": [-1.5]}), path)
    header, row = list(csv.reader(path.open(newline="", encoding="utf-8")))
    assert header == ["agent", "'@return"]
    for part in row[0].split(";"):
        assert not part.lstrip(' "').startswith(("=", "+", "-", "@", "\t", "\r"))
    assert row[1] == "-1.5", "numbers are left alone"


def test_formulas_get_an_apostrophe_and_harmless_text_does_not(tmp_path: Path) -> None:
    harmless = ["bc=2", "a\r=1\n", "drop=0.1, 100 = x", "0 - 3", None]
    write_csv(pd.DataFrame({"agent": ["=HYPERLINK(1)", " +1", *harmless]}), tmp_path / "x.csv")
    lines = (tmp_path / "x.csv").read_text().splitlines()[1:]
    assert lines[:6] == ["'=HYPERLINK(1)", "' +1", "bc=2", "a =1 ", '"drop=0.1, 100 = x"', "0 - 3"]
    with pytest.raises(OutputError, match=r"board\.csv"):
        write_csv(pd.DataFrame({"a": [1]}), tmp_path / "missing" / "board.csv")


def test_a_foreign_leaderboard_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "leaderboard.csv"
    assert is_leaderboard(path)
    path.write_text("precious,data\n1,2\n")
    assert not is_leaderboard(path)
    path.unlink()
    write_csv(leaderboard([]), path)
    assert is_leaderboard(path), "our own table may be replaced"
    path.write_text("scenario,agent,checkpoint,dataset,episodes,return_mean,run\n")
    assert is_leaderboard(path), "one of an earlier version too"
