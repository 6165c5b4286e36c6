"""`harness evaluate`: play a team, print its table, write films and the leaderboard."""

from __future__ import annotations

from pathlib import Path

from env_adapters import scenarios
from env_adapters.errors import HarnessError
from harness.commands.parsing import parse, say
from harness.evaluate import EvaluateConfig, Evaluation, evaluate
from harness.layouts import option
from harness.leaderboard import is_leaderboard, leaderboard, write_csv
from harness.records import Summary, load_summary
from harness.tables import render


def main(arguments: list[str]) -> int:
    """Run the command; returns 0."""
    config = parse(EvaluateConfig, arguments, "evaluate")
    evaluation = evaluate(config, say)
    print(report(evaluation))
    print(f"\nrun          {evaluation.path}")
    for video in evaluation.summary.videos:
        print(f"film         {evaluation.path / video}")
    board = _write_leaderboard(evaluation.path.absolute().parent)
    if board is not None:
        print(f"leaderboard  {board}")
    print(f"\nnext: {_next(config, evaluation)}")
    return 0


def _write_leaderboard(folder: Path) -> Path | None:
    """Put the finished runs of this folder into its leaderboard.csv; None, after saying why, where that fails.

    The evaluation itself has succeeded, so damage in a neighbour or a folder without rights is no error here.
    """
    runs = []
    for path in sorted(log.parent for log in folder.glob("*/episodes.jsonl")):
        try:
            load_summary(path)
        except HarnessError as error:
            say(f"not in the leaderboard: {error}")
        else:
            runs.append(_short(path))
    board = _short(folder / "leaderboard.csv")
    if not is_leaderboard(board):
        say(f"no leaderboard: {board} is another file; choose an --out in another folder")
        return None
    try:
        write_csv(leaderboard(runs), board)
    except HarnessError as error:
        say(f"no leaderboard: {error}")
        return None
    return board


def _short(path: Path) -> Path:
    """A path as a person would write it here: relative where it lies below the current folder."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def _next(config: EvaluateConfig, evaluation: Evaluation) -> str:
    if evaluation.resumed:
        return "everything was there already; --fresh plays it again, --seed 1 plays other episodes"
    if config.agent is None and config.checkpoint is None:
        layout = option(scenarios.find(config.map), evaluation.summary.layout)
        return (
            f"harness evaluate --map {config.map}{layout} --agent random   # a reference line for the table"
        )
    folder = evaluation.path.parent
    runs = "" if folder == Path("runs") else f" --runs {folder}"
    return f"harness leaderboard{runs}   # this run beside the others"


def report(evaluation: Evaluation) -> str:
    """The result as a table of one row."""
    summary = evaluation.summary
    headers = [
        "scenario",
        "agent",
        "layout",
        "engine",
        "episodes",
        "return",
        "win rate [95 %]",
        "µs per joint action p50 / p90",
    ]
    row = [
        summary.scenario,
        f"{summary.agent} ({summary.act_mode})",
        summary.layout,
        summary.engine,
        summary.episodes,
        _mean(summary),
        _win_rate(summary),
        _latency(summary),
    ]
    return render(headers, [row])


def _mean(summary: Summary) -> str:
    spread = "" if summary.return_std is None else f" ± {summary.return_std:.2f}"
    return f"{summary.return_mean:.2f}{spread}"


def _win_rate(summary: Summary) -> str:
    if summary.win_rate is None or summary.win_rate_lower is None or summary.win_rate_upper is None:
        return "-"
    return f"{summary.win_rate:.0%} [{summary.win_rate_lower:.0%}, {summary.win_rate_upper:.0%}]"


def _latency(summary: Summary) -> str:
    if summary.action_p50_us is None or summary.action_p90_us is None:
        return "-"
    return f"{summary.action_p50_us:.0f} / {summary.action_p90_us:.0f} ({summary.latency_scenario}, n={summary.latency_n})"
