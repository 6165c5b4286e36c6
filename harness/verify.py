"""Is a run what it claims to be? Its files are checked against each other, and some episodes are played again."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from env_adapters.errors import HarnessError, MismatchError, UnknownNameError
from harness.conditions import Conditions
from harness.jobs import Job, job_team, world
from harness.progress import Say
from harness.records import load_incidents, load_latency, load_run
from harness.replay import check_alike, play_again
from harness.schema import EpisodeRecord, Run, Summary
from harness.summarise import score
from harness.team import TeamSource

_STREAM = 6


@dataclass(frozen=True)
class Check:
    """One thing that was looked at."""

    name: str
    passed: bool | None
    """None where it could not be looked at."""
    detail: str


def job_of(manifest: dict[str, Any], checkpoint: Path | None = None) -> Job:
    """The job that a run's manifest describes.

    Args:
        manifest: as `harness.records.load_manifest` reads it.
        checkpoint: where the weights lie now, if they moved.

    Raises:
        MismatchError: the manifest says too little.
    """
    try:
        source, conditions = manifest["source"], dict(manifest["source"]["conditions"])
        conditions["swap_agent"] = tuple(conditions["swap_agent"])
        team = TeamSource(**source["team"])
        if checkpoint is not None:
            team = replace(team, agent=None, checkpoint=str(checkpoint))
        return Job(source["map"], source["layout"], team, Conditions(**conditions))
    except (KeyError, TypeError) as error:
        raise MismatchError(f"the manifest does not say where world and team came from ({error})") from error


def verify(
    folder: Path, n_episodes: int, seed: int, checkpoint: Path | None = None, say: Say = lambda line: None
) -> list[Check]:
    """Check a run.

    Args:
        folder: the run directory.
        n_episodes: how many episodes, chosen at random, are played again.
        seed: of the choice.
        checkpoint: where the weights lie now, if they moved.
        say: receives a line before the slow part.

    Raises:
        HarnessError: the run cannot be read (UnknownNameError, CorruptFileError, MismatchError).
    """
    run = load_run(folder)
    checks = [*_books(run), _films(run)]
    if run.manifest["config"].get("conditions", {}).get("deadline_ms") is not None:
        return [
            *checks,
            Check("played again", None, "a deadline lets the clock decide; nothing can be repeated"),
        ]
    say(f"playing {min(n_episodes, len(run.episodes))} of {len(run.episodes)} episodes again ...")
    return [*checks, *_again(run, n_episodes, seed, checkpoint)]


def _books(run: Run) -> Iterator[Check]:
    """What can be checked by reading. That lengths and returns follow from rewards was checked on reading."""
    requested, summary = run.manifest["config"]["episode_seeds"], run.summary
    wanted = len(requested) if summary is None else summary.episodes
    distinct = len({record.episode_seed for record in run.episodes})
    broken = sum(record.error is not None for record in run.episodes)
    outcomes = (
        f"{len(run.episodes)} records, {distinct} distinct seeds, {wanted} requested, {broken} broke off"
    )
    yield Check("episodes", distinct == wanted == len(run.episodes), outcomes)
    yield Check("returns", True, "every return and length follows from its rewards")
    latency = load_latency(run.path)
    timed = "nothing was timed" if latency is None else f"{latency.n} joint actions, {latency.scenario}"
    yield Check("latency", True, timed)
    incidents = load_incidents(run.path)
    yield Check("incidents", True, f"{len(incidents)} crashes, hangs or retries on record")
    if summary is None:
        yield Check("summary", None, "the run is unfinished")
    else:
        yield _summary_check(run, summary)


def _summary_check(run: Run, summary: Summary) -> Check:
    """Whether the summary follows from manifest and records."""
    stored, config = asdict(summary), run.manifest["config"]
    expected = score(run.episodes, summary.win_rate is not None, summary.on_crash)
    if summary.stop_rule is not None:  # its intervals are those of the stop rule
        ends = ("return_lower", "return_upper", "win_rate_lower", "win_rate_upper")
        expected = {name: value for name, value in expected.items() if name not in ends}
    shared = config.keys() & stored.keys()
    wrong = [name for name, value in expected.items() if not _same(stored[name], value)]
    wrong += [name for name in sorted(shared) if stored[name] != config[name]]
    detail = f"does not follow from the records: {', '.join(wrong)}" if wrong else "follows from the records"
    return Check("summary", not wrong, detail)


def _same(stored: Any, expected: Any) -> bool:
    """Equality, up to the last bits that a sum may differ in between builds of NumPy."""
    if isinstance(stored, float) and isinstance(expected, float):
        return bool(np.isclose(stored, expected, rtol=1e-12, atol=1e-12))
    return bool(stored == expected)


def _films(run: Run) -> Check:
    names = [] if run.summary is None else run.summary.videos
    gone = [name for name in names if not (run.path / name).is_file()]
    return Check(
        "films", not gone, f"missing: {', '.join(gone)}" if gone else f"{len(names)} named, all there"
    )


def _again(run: Run, n_episodes: int, seed: int, checkpoint: Path | None) -> Iterator[Check]:
    whole = [record for record in run.episodes if record.error is None]
    try:
        job = job_of(run.manifest, checkpoint)
    except MismatchError as error:
        yield Check("team", None, str(error))
        return
    weights = job.team.checkpoint
    if weights is not None and not Path(weights).is_file():
        yield Check("team", None, f"there is no {weights}; name the file with --checkpoint")
        return
    try:
        with world(job, 1) as env:
            spec, team = env.spec, job_team(job, env.spec)
    except (MismatchError, UnknownNameError) as error:
        yield Check("team", False, str(error))
        return
    config = run.manifest["config"]
    same = team.weights_hash == config["agent_hash"]
    yield Check("team", same, f"{team.name} {team.weights_hash[:12]}, recorded {config['agent_hash'][:12]}")
    yield Check("engine", spec.engine == config["engine"], f"{spec.engine}, recorded {config['engine']}")
    if not same or not whole:
        return
    rng = np.random.default_rng([seed, _STREAM])
    chosen = sorted(rng.choice(len(whole), size=min(n_episodes, len(whole)), replace=False).tolist())
    yield _played_again(job, [whole[index] for index in chosen])


def _played_again(job: Job, records: list[EpisodeRecord]) -> Check:
    alike, first = 0, ""
    for record in records:
        try:
            (episode,) = play_again(job, [record.episode_seed])
            check_alike(EpisodeRecord.of(episode), record)
            alike += 1
        except HarnessError as error:
            first = first or f"; {error}"
    detail = f"{alike} of {len(records)} took the same course, rewards and last state included{first}"
    return Check("played again", alike == len(records), detail)
