"""One evaluation: plan, episodes, a second look, summary.

The outcome of an episode depends on its seed, the scenario, the engine and the weights, so an evaluation that
was interrupted is finished by the same call.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from env_adapters.errors import AgentError, SimulatorError
from harness.compare_runs import machine_differences
from harness.differences import in_one_line
from harness.here import LocalPlayer
from harness.interrupts import gentle_interrupts
from harness.look import Look, LookRequest, look, look_apart
from harness.options import EvaluateConfig
from harness.passport import passport
from harness.plan import Plan, make_plan
from harness.progress import Say, every
from harness.records import LATENCY, load_latency, load_summary
from harness.references import describe, find_references, normalised
from harness.replay import forget_films, pick_films
from harness.run_directory import RunDirectory
from harness.schema import EpisodeRecord, Incident, LatencyReport, Summary
from harness.stopping import Prefix
from harness.summarise import counted, score
from harness.supervise import Supervisor
from harness.warmup import prepare_engine

_REPORT_INTERVAL_S = 5.0
_LOGS = "logs"
_TOLD = 3
"""Incidents that are said; all are written down."""


@dataclass(frozen=True)
class Evaluation:
    """A finished evaluation."""

    path: Path
    """Run directory."""
    summary: Summary
    latency: LatencyReport | None
    resumed: bool
    """Whether everything was there already and nothing was played."""
    n_incidents: int = 0
    """Crashes, hangs and retries during this call."""


@dataclass
class _Played:
    """What playing brought besides records."""

    n_incidents: int = 0
    latency: LatencyReport | None = None
    """Where agents ran in processes of their own."""


def evaluate(config: EvaluateConfig, say: Say = lambda line: None) -> Evaluation:
    """Play what is missing, then look at some episodes again, time actions, draw films and write the summary.

    Args:
        config: what to evaluate.
        say: receives a line about each stage.

    Raises:
        HarnessError: one of its kinds, see env_adapters.errors; finished episodes are kept.
        KeyboardInterrupt: after Ctrl-C, when the episodes under way are finished; its text says what is kept.
    """
    plan = make_plan(config)
    with RunDirectory.open(plan.path, plan.manifest(), config.fresh, config.repair) as run:
        for remark in run.remarks:
            say(remark)
        if config.fresh:
            forget_films(plan.path)
        _forget_empty_logs(plan.path / _LOGS)
        stored = load_summary(plan.path)
        if stored is not None and _has_everything(plan, stored):
            return Evaluation(plan.path, stored, load_latency(plan.path), resumed=True)
        _compare_machines(run, say)
        prepare_engine(plan.scenario, say)
        prefix = Prefix(plan.seeds, run.finished, plan.stop)
        played = _Played() if prefix.is_enough() else _play(plan, run, prefix, say)
        records, reason = prefix.result()
        found = _look_again(plan, records, say)
        latency = found.latency or played.latency or load_latency(plan.path)
        summary = summarise(plan, records, reason, found)
        if found.samples_us is not None:
            run.keep_samples(found.samples_us)
        run.finish(summary, latency)
    return Evaluation(plan.path, summary, latency, resumed=False, n_incidents=played.n_incidents)


def _forget_empty_logs(folder: Path) -> None:
    """Clear what a killed evaluation left: logs of workers that printed nothing."""
    with suppress(OSError):  # not there, or somebody printed something
        for log in folder.glob("worker-*.log"):
            if not log.stat().st_size:
                log.unlink()
        folder.rmdir()


def _compare_machines(run: RunDirectory, say: Say) -> None:
    """Say and note it when a run is continued with other code, packages or hardware than it was started with."""
    changed = machine_differences(run.manifest.get("passport"), passport())
    if changed and run.finished:
        what = f"continued with another environment: {in_one_line(changed)}"
        say(f"warning: {what}")
        run.note(Incident([], 0, "machine", what, "noted"))


def _has_everything(plan: Plan, stored: Summary) -> bool:
    """Whether nothing is left to do for a run with this summary."""
    wanted = min(plan.n_films, stored.episodes - stored.crashed)
    films = sum((plan.path / name).is_file() for name in stored.videos)
    timed = plan.latency == "none" or (plan.path / LATENCY).is_file() or not _may_look(plan)
    return films >= wanted and timed


def _may_look(plan: Plan) -> bool:
    """Whether episodes can be played again: not where the clock decided them."""
    return plan.config.deadline_ms is None


def _play(plan: Plan, run: RunDirectory, prefix: Prefix, say: Say) -> _Played:
    """Play the episodes that have no record yet, until the stop rule holds."""
    missing = run.missing(plan.seeds)
    _announce(plan, run, len(missing), say)
    due, played = every(_REPORT_INTERVAL_S), _Played()

    def note(incident: Incident) -> None:
        played.n_incidents += 1
        run.note(incident)
        if played.n_incidents <= _TOLD:
            say(f"{incident.error}; {incident.then}")
        if played.n_incidents == _TOLD:
            say("whatever else goes wrong is only written to incidents.jsonl")

    with (
        _player(plan, len(missing), note) as player,
        gentle_interrupts(player.drain, say, "finishing the episodes that are under way") as stopped,
    ):
        for record in player.play(missing):
            run.append(record)
            if due():
                say(f"{len(run.finished)} of {len(plan.seeds)} episodes")
            if plan.stop is not None and prefix.is_enough():
                break
        if stopped() and not prefix.is_enough():
            raise KeyboardInterrupt(f"{len(run.finished)} of {len(plan.seeds)} episodes are kept")
        played.latency = player.latency
    return played


def _announce(plan: Plan, run: RunDirectory, n_missing: int, say: Say) -> None:
    there = len(run.finished)
    kept = f" ({there} of {len(plan.seeds)} are there already)" if there else ""
    most = "at most " if plan.stop is not None else ""
    noun = "episode" if n_missing == 1 else "episodes"
    say(f"playing {most}{n_missing} {noun} of {plan.spec.scenario} on {plan.spec.engine}{kept} ...")


def _player(plan: Plan, n_missing: int, note: Callable[[Incident], None]) -> Supervisor | LocalPlayer:
    how = plan.supervision(n_missing)
    if how.workers == 0:
        return LocalPlayer(plan.job, how.n_games, how.retries, note)
    return Supervisor(plan.job, how, plan.path / _LOGS, note)


def _look_again(plan: Plan, records: list[EpisodeRecord], say: Say) -> Look:
    """Replay some episodes, at least one, to compare them, check the agents, time actions and draw films."""
    whole = [record for record in records if record.error is None]
    if not whole:
        by_agent = all(str(record.error).startswith("agent") for record in records)
        raise (AgentError if by_agent else SimulatorError)(
            f"every one of {len(records)} episodes broke off, the first because of {records[0].error}; see {plan.path}"
        )
    if not _may_look(plan):
        return Look()
    by_seed = {record.episode_seed: record for record in whole}
    films = pick_films(whole, plan.n_films)
    chosen = [by_seed[seed] for seed in films] or whole[:1]
    request = LookRequest(plan.job, chosen, len(films), plan.latency, plan.path, plan.team.name)
    say(f"replaying {len(chosen)} of them" + (", drawing films ..." if films else " ..."))
    return look(request, say) if plan.config.workers == 0 else look_apart(request, say, plan.config.timeout_s)


def summarise(plan: Plan, records: list[EpisodeRecord], reason: str | None, found: Look) -> Summary:
    """Statistics of finished episodes.

    Raises:
        SimulatorError: every episode is excluded.
    """
    if not counted(records, plan.config.on_crash):
        raise SimulatorError(f"every one of {len(records)} episodes broke off; see {plan.path}")
    spec, team, provenance = plan.spec, plan.team, plan.team.provenance
    scores = score(records, spec.has_win, plan.config.on_crash)
    if plan.stop is not None:
        scores |= plan.stop.intervals(records)
    references = find_references(spec.scenario, spec.layout, spec.engine)
    return Summary(
        scenario=spec.scenario,
        layout=spec.layout,
        engine=spec.engine,
        agent=team.name,
        algorithm=team.algorithm,
        agent_hash=team.weights_hash,
        dataset=provenance.get("dataset_name") or provenance.get("dataset"),
        training_seed=provenance.get("seed"),
        config_hash=team.config_hash,
        act_mode=team.act_mode,
        conditions=plan.job.conditions.changed(),
        on_crash=plan.config.on_crash,
        stop_rule=reason,
        **scores,
        normalised_score=None if references is None else normalised(scores["return_mean"], references),
        normalised_by=None if references is None else describe(references),
        decentralized=found.decentralized,
        videos=found.videos,
    )
