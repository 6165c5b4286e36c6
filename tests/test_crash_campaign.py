"""A simulator that dies a hundred times in a thousand episodes, and evaluations without end: nothing is lost or left over."""

from __future__ import annotations

import os
import tempfile
import time
from collections import deque
from multiprocessing import Pipe, current_process, util
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import pytest
from faulty_worlds import COUNTERS

from harness.evaluate import Evaluation, evaluate
from harness.options import EvaluateConfig
from harness.plan import episode_seeds, make_plan
from harness.processes import context
from harness.records import load_incidents, load_run
from harness.schema import EpisodeRecord
from harness.supervise import Supervision, Supervisor, _Worker
from harness.watching import Watch

HERE = Path(__file__).parent
AGENT = f"{HERE / 'faulty_agents.py'}:Walker"
SOAK_MINUTES = os.environ.get("HARNESS_SOAK_MINUTES")


def play(out: Path, world: str, episodes: int, **options: Any) -> Evaluation:
    settings: dict[str, Any] = {"workers": 2, "n_games": 4, "video": 0, "latency": "none", "timeout_s": 60.0}
    world = f"{HERE / 'campaign_worlds.py'}:{world}"
    return evaluate(EvaluateConfig(world, agent=AGENT, episodes=episodes, out=out, **settings | options))


def children(pid: int) -> dict[int, str]:
    """State (`Z` for a zombie) of the direct children of a process."""
    found = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, parent = stat.read_text().rpartition(")")[2].split()[:2]
        except OSError:  # it has just ended
            continue
        if int(parent) == pid:
            found[int(stat.parent.name)] = state
    return found


def tree() -> dict[int, str]:
    """States of our children and theirs."""
    ours = children(os.getpid())
    return ours | {pid: state for child in ours for pid, state in children(child).items()}


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def leftovers() -> set[str]:
    """Files for sharing memory and for talking to the server process that this process has lying about."""
    places = (Path(tempfile.gettempdir()), Path("/dev/shm"), Path(util.get_temp_dir()))
    found = {path for place in places if place.is_dir() for path in place.iterdir()}
    ours = (f"pym-{os.getpid()}-", "listener-")
    return {str(path) for path in found if path.name.startswith(ours)}


def memory_mb(pid: int) -> float:
    """Resident memory."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) / 1024


def crash(folder: Path, monkeypatch: pytest.MonkeyPatch, episodes: int, seed: int) -> int:
    """Play with a world that dies in every tenth episode or so; how often it died."""
    play(folder / "first", "LosingItsGameOnce", 4)  # starts the server process, which stays
    before = descriptors(), set(tree()), leftovers()
    for name, variable in (("counters", COUNTERS), ("tmp", "TMPDIR")):
        (folder / name).mkdir()
        monkeypatch.setenv(variable, str(folder / name))
    evaluation = play(folder / "run", "DyingOnce", episodes, seed=seed)
    calm = play(folder / "calm", "Calm", episodes, workers=0, n_games=64, seed=seed)
    dying = [drawn for drawn in episode_seeds(seed, episodes) if drawn % 10 == 0]
    assert {int(path.name) for path in (folder / "counters").iterdir()} == set(dying)
    records = load_run(evaluation.path).episodes
    assert records == load_run(calm.path).episodes and len(records) == episodes
    for name in ("episodes.jsonl", "summary.json"):
        assert (evaluation.path / name).read_bytes() == (calm.path / name).read_bytes()
    incidents = load_incidents(evaluation.path)
    deaths = [incident for incident in incidents if "was killed by signal 9" in incident.error]
    assert len(deaths) == len(incidents) == evaluation.n_incidents == len(dying)
    assert (descriptors(), set(tree()), leftovers()) == before
    assert "Z" not in tree().values()
    assert not list((folder / "tmp").iterdir()), "of the workers"
    assert {path.name for path in evaluation.path.iterdir()} == {
        "manifest.json", "episodes.jsonl", "incidents.jsonl", "summary.json",
    }  # fmt: skip
    return len(dying)


def test_a_dying_world_leaves_every_episode_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert crash(tmp_path, monkeypatch, 60, seed=0) >= 3


def test_an_episode_is_booked_before_its_worker_is_given_another(tmp_path: Path) -> None:
    """Whatever has arrived meanwhile; so a kill costs no more than the games under way."""
    config = EvaluateConfig(f"{HERE / 'campaign_worlds.py'}:Calm", agent=AGENT, episodes=8)
    supervisor = Supervisor(
        make_plan(config).job, Supervision(1, 2, 0, 60.0), tmp_path, lambda incident: None
    )
    ours, theirs = Pipe()
    waiting = deque([3, 4])
    worker = _Worker(current_process(), ours, Watch(), waiting, tmp_path / "log", True, [1, 2])
    supervisor._workers.append(worker)
    for seed in (1, 2):
        theirs.send(("done", EpisodeRecord.broken(seed, "")))
        theirs.send(("next",))
    supervisor._listen(worker)
    assert len(supervisor._records) == 1 and list(waiting) == [3, 4] and not theirs.poll()
    supervisor._records.clear()
    supervisor._listen(worker)
    assert theirs.recv() == 3 and list(waiting) == [4] and len(supervisor._records) == 1
    supervisor._workers.clear()


@pytest.mark.slow
def test_a_hundred_deaths_in_a_thousand_episodes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    began = time.monotonic()
    n_deaths = crash(tmp_path, monkeypatch, 1000, seed=14)
    print(f"\n{n_deaths} deaths, {time.monotonic() - began:.0f} s")
    assert n_deaths == 100


@pytest.mark.slow
@pytest.mark.skipif(SOAK_MINUTES is None, reason="nightly: HARNESS_SOAK_MINUTES=15 pytest -m slow -k soak")
def test_soak_memory_and_descriptors_stay_flat(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    end = time.monotonic() + 60.0 * float(SOAK_MINUTES or 0)
    (server,) = context_server(tmp_path)
    rows: list[tuple[float, float, float, float]] = []
    episodes = crashes = 0
    while time.monotonic() < end or len(rows) < 12:
        counters = tmp_path / f"counters-{len(rows)}"
        counters.mkdir()
        monkeypatch.setenv(COUNTERS, str(counters))
        found = play(tmp_path / "run", "DyingHundredth", 400, n_games=32, fresh=True, seed=len(rows))
        assert found.summary.crashed == 0
        episodes, crashes = episodes + 400, crashes + found.n_incidents
        rows.append((episodes, memory_mb(os.getpid()), memory_mb(server), descriptors()))
    counted, ours, theirs, handles = np.array(rows).T
    quarter = len(rows) // 4
    late, early = slice(-quarter, None), slice(quarter, 2 * quarter)
    between = median(counted[late]) - median(counted[early])
    growth = {name: median(of[late]) - median(of[early]) for name, of in (("ours", ours), ("server", theirs))}
    print(
        f"\n{episodes} episodes in {len(rows)} evaluations, {crashes} deaths; MB {ours[quarter]:.1f} -> {ours[-1]:.1f},"
        f" server {theirs[quarter]:.1f} -> {theirs[-1]:.1f}; descriptors {handles.min():.0f} to {handles.max():.0f};"
        f" growth over {between:.0f} episodes {growth}"
    )
    assert crashes > 0
    assert handles[quarter:].max() == handles[quarter:].min()
    for name, grown in growth.items():
        assert grown < 1.0 + between / 10_000, f"{name} grew by {grown:.1f} MB over {between:.0f} episodes"


def context_server(folder: Path) -> list[int]:
    """The process that starts workers."""
    context()
    play(folder / "warm-up", "Calm", 64)
    return [pid for pid in children(os.getpid()) if children(pid) or "forkserver" in command_line(pid)]


def command_line(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_text()
