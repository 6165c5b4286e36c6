"""`harness evaluate`: play a team, print its table, write films and the leaderboard."""

from __future__ import annotations

import shlex
from pathlib import Path

from env_adapters import scenarios
from env_adapters.errors import HarnessError, UsageError
from harness.commands.parsing import parse, say
from harness.evaluate import Evaluation, evaluate
from harness.layouts import option
from harness.leaderboard import is_leaderboard, leaderboard, write_csv
from harness.leaderboard.rows import in_words
from harness.options import EvaluateConfig
from harness.records import load_incidents, load_run
from harness.schema import LatencyReport, Summary
from harness.tables import render


def main(arguments: list[str]) -> int:
    """Run the command; returns 0."""
    config = parse(EvaluateConfig, arguments, "evaluate")
    if "--swap-agent" in arguments and not config.swap_agent:
        raise UsageError("harness evaluate: --swap-agent needs a value, such as 0=random")
    try:
        evaluation = evaluate(config, say)
    except KeyboardInterrupt as stop:
        kept = str(stop) or "finished episodes are kept"
        raise KeyboardInterrupt(f"{kept}; continue with: {_again(arguments)}") from None
    print(report(evaluation))
    print(f"\nrun          {evaluation.path}")
    for video in evaluation.summary.videos:
        print(f"film         {evaluation.path / video}")
    board = _write_leaderboard(evaluation.path.absolute().parent)
    if board is not None:
        print(f"leaderboard  {board}")
    print(f"\nnext: {_next(config, evaluation)}")
    return 0


def _again(arguments: list[str]) -> str:
    """The command that continues this one."""
    return shlex.join(["harness", "evaluate", *(word for word in arguments if word != "--fresh")])


def _write_leaderboard(folder: Path) -> Path | None:
    """Put the finished runs of this folder into its leaderboard.csv; None, after saying why, where that fails.

    The evaluation itself has succeeded, so damage in a neighbour or a folder without rights is no error here.
    """
    runs = sorted(_short(log.parent) for log in folder.glob("*/episodes.jsonl"))
    board = _short(folder / "leaderboard.csv")
    if not is_leaderboard(board):
        say(f"no leaderboard: {board} is another file; choose an --out in another folder")
        return None
    try:
        frame = leaderboard(runs, skip_damaged=True)
        for complaint in frame.attrs["damaged"].values():
            say(f"not in the leaderboard: {complaint}")
        write_csv(frame, board)
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
    """The result as a table of one row, and what a reader must know about it in lines below."""
    summary = evaluation.summary
    headers = [
        "scenario",
        "agent",
        "layout",
        "engine",
        "episodes",
        "return [95 %]",
        "win rate [95 %]",
        "µs per joint action p50 / p90 / p99",
    ]
    row = [
        summary.scenario,
        f"{summary.agent} ({summary.act_mode})",
        summary.layout,
        summary.engine,
        summary.episodes,
        _mean(summary),
        _win_rate(summary),
        _latency(evaluation.latency),
    ]
    return "\n".join([render(headers, [row]), "", *_remarks(evaluation)])


def _remarks(evaluation: Evaluation) -> list[str]:
    """What belongs beside the numbers."""
    summary, latency = evaluation.summary, evaluation.latency
    lines = _retried(evaluation)
    if summary.crashed:
        counts = "count as lost, with return 0" if summary.on_crash == "loss" else "do not count"
        lines.append(
            f"crashed      {summary.crashed} of {summary.episodes} episodes broke off; they {counts}"
        )
    if summary.conditions:
        lines.append(f"conditions   {in_words(summary.conditions)}")
    if summary.stop_rule is not None:
        lines.append(f"stopped      {summary.stop_rule}")
    if summary.normalised_score is not None:
        lines.append(f"normalised   {summary.normalised_score:.1f} ({summary.normalised_by})")
    lines.append(f"decentralised  {summary.decentralized or 'not checked'}")
    if latency is not None and latency.flagged is not None:
        lines.append(f"timing       {latency.flagged}")
    return lines


def _retried(evaluation: Evaluation) -> list[str]:
    """Episodes that were tried again shift the result if what crashes is not what matters: their rate is shown apart."""
    incidents = load_incidents(evaluation.path)
    again = {seed for each in incidents if each.then == "tried again" for seed in each.episode_seeds}
    if not incidents:
        return []
    records = [record for record in load_run(evaluation.path).episodes if record.episode_seed in again]
    ended = [record for record in records if record.error is None]
    wins = sum(bool(record.won) for record in ended)
    won = "" if evaluation.summary.wins is None else f", {wins} of those that then ended were won"
    return [f"incidents    {len(incidents)} (incidents.jsonl); {len(records)} episodes were tried again{won}"]


def _mean(summary: Summary) -> str:
    if summary.return_lower is None or summary.return_upper is None:
        return f"{summary.return_mean:.4g}"
    width = summary.return_upper - summary.return_lower
    decimals = 0 if width >= 20 else 1 if width >= 2 else 2
    numbers = [summary.return_mean, summary.return_lower, summary.return_upper]
    mean, lower, upper = (f"{number:.{decimals}f}" for number in numbers)
    return f"{mean} [{lower}, {upper}]"


def _win_rate(summary: Summary) -> str:
    if summary.win_rate is None or summary.win_rate_lower is None or summary.win_rate_upper is None:
        return "-"
    return f"{summary.win_rate:.0%} [{summary.win_rate_lower:.0%}, {summary.win_rate_upper:.0%}]"


def _latency(latency: LatencyReport | None) -> str:
    if latency is None:
        return "-"
    known = (latency.p50_us, latency.p90_us, latency.p99_us)
    numbers = " / ".join("-" if value is None else f"{value:.0f}" for value in known)
    return f"{numbers} ({latency.scenario}, n={latency.n})"
