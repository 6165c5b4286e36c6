"""`harness bench statistics` runs, and names its peer."""

from __future__ import annotations

from benchmarks import statistics


def test_every_row_is_measured_and_the_peer_is_named() -> None:
    said: list[str] = []
    report = statistics.run(statistics.Config(quick=True), said.append)
    assert report.quick and said
    rows = {row["what"]: row for row in report.rows}
    limited = [row for row in report.rows if row["target"] == 0.1]
    assert len(limited) == 2 and all(row["unit"] == "s" and row["median"] > 0.0 for row in limited)
    ratios = [what for what in rows if " over ours" in what]
    assert len(ratios) == 2 and all(("plain loop" in what) != ("rliable" in what) for what in ratios)
    assert all(row["n"] == 2 for row in report.rows)
