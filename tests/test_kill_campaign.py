"""kill -9 of the real command at random instants: nothing finished is lost, and the end is as if nothing had happened."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from descendants import marked
from faulty_worlds import COUNTERS

from harness.leaderboard import is_leaderboard
from harness.plan import episode_seeds
from harness.records import load_incidents, load_latency, load_manifest, load_run
from harness.sealed import parse_sealed_lines, seal

HERE = Path(__file__).parent
N_EPISODES, WORKERS, GAMES = 16, 2, 2
UNDER_WAY = WORKERS * GAMES
SEEDS = episode_seeds(0, N_EPISODES)
STAGES = ("start", "manifest", "play", "look", "finish", "leaderboard")
"""When the process is killed; `finish` from the first new file after the episodes to the summary."""
WHOLE_S = 2.4
"""About what an undisturbed run takes on two cores; nothing is asserted about it."""
FILES = ("episodes.jsonl", "summary.json")


@dataclass
class Life:
    """One evaluation that is killed again and again.

    Attributes:
        folder: holds the run, the leaderboard and a folder of counters.
        kills: how often it was killed, by stage.
    """

    folder: Path
    kills: Counter[str] = field(default_factory=Counter)

    @property
    def run(self) -> Path:
        return self.folder / "runs" / "run"

    @property
    def board(self) -> Path:
        return self.folder / "runs" / "leaderboard.csv"

    def start(self) -> subprocess.Popen[str]:
        (self.folder / "counters").mkdir(parents=True, exist_ok=True)
        options = {
            "map": f"{HERE / 'campaign_worlds.py'}:Counted",
            "agent": f"{HERE / 'faulty_agents.py'}:Walker",
            "episodes": N_EPISODES, "workers": WORKERS, "n-games": GAMES, "video": 0, "out": self.run,
        }  # fmt: skip
        words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
        surroundings = {COUNTERS: str(self.folder / "counters")}
        return subprocess.Popen(
            [sys.executable, "-m", "harness", "evaluate", *words],
            cwd=HERE.parent, env=os.environ | surroundings, text=True,
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, process_group=0,
        )  # fmt: skip

    def booked(self) -> list[int]:
        """Seeds of the whole lines of episodes.jsonl, read without any of the run's own checks on order."""
        log = self.run / "episodes.jsonl"
        data = log.read_bytes() if log.is_file() else b""
        return [values["episode_seed"] for values in parse_sealed_lines(data, log)[0]]

    def stage(self) -> str:
        """How far the evaluation is, from what lies on disk."""
        if self.board.is_file():
            return "end"
        if (self.run / "summary.json").is_file():
            return "leaderboard"
        if not (self.run / "manifest.json").is_file():
            return "start"
        if (self.run / "latency.json").is_file() or list(self.run.glob(".*.tmp")):
            return "finish"
        n_booked = len(self.booked())
        return "manifest" if n_booked == 0 else "look" if n_booked == N_EPISODES else "play"

    def wait_for(self, stage: str, process: subprocess.Popen[str]) -> None:
        wanted = [*STAGES[STAGES.index(stage) :], "end"]
        while self.stage() not in wanted and process.poll() is None:
            time.sleep(0.0005)

    def kill(self, stage: str, delay_s: float) -> None:
        """Start it, let it come to a stage, kill it `delay_s` later, and look at what is left."""
        process = self.start()
        self.wait_for(stage, process)
        time.sleep(delay_s)
        before, at = self.booked(), self.stage()
        process.kill()
        _, said = process.communicate(timeout=30)
        if process.returncode == 0:  # it was quicker
            return
        assert process.returncode == -signal.SIGKILL, said
        self.kills[at] += 1
        limit = time.monotonic() + 20.0
        while (left := marked(str(self.folder / "counters"))) and time.monotonic() < limit:
            time.sleep(0.01)
        assert not left, f"outlived the main process: {left}"
        self.check_readable(before)

    def check_readable(self, before: list[int]) -> None:
        """Everybody can read what is there, and every episode that was booked is among it."""
        if load_manifest(self.run) is None:
            assert not before
            return
        run = load_run(self.run)
        assert set(before) <= {record.episode_seed for record in run.episodes}
        assert run.summary is None or run.summary.episodes == N_EPISODES
        load_latency(self.run)
        assert load_incidents(self.run) == []
        assert is_leaderboard(self.board)

    def finish(self) -> None:
        """Let the same command come to its end."""
        _, said = (process := self.start()).communicate(timeout=120)
        assert process.returncode == 0, said

    def finals(self) -> dict[str, bytes]:
        """What must not show that anything happened."""
        config = load_run(self.run).manifest["config"]
        return {name: (self.run / name).read_bytes() for name in FILES} | {"config": seal(config)}

    def repeated(self) -> int:
        """How often an episode was begun again."""
        return self.starts() - N_EPISODES

    def starts(self) -> int:
        """Episodes that workers have started, in all lives; one that fills an empty place beside itself counts once."""
        return sum(len(set(path.read_text().split())) for path in (self.folder / "counters").iterdir())


Plan = list[tuple[str, float]]
"""When to kill: some seconds after a stage has begun."""


def random_plan(rng: np.random.Generator) -> Plan:
    """A kill at a random time of an undisturbed run, then one shortly after each of some stages has begun."""
    later = sorted(rng.choice(len(STAGES), size=5, p=[0.05, 0.1, 0.35, 0.2, 0.2, 0.1]).tolist())
    longest_s = {"start": WHOLE_S, "manifest": 0.5 * WHOLE_S, "play": 0.2, "look": 0.5, "finish": 0.004}
    stages = ["start", *(STAGES[index] for index in later)]
    return [(stage, float(rng.uniform(0.0, longest_s.get(stage, 0.3)))) for stage in stages]


def live(life: Life, plan: Plan) -> Life:
    """Kill an evaluation as planned, let it end, and count."""
    for stage, delay_s in plan:
        life.kill(stage, delay_s)
    life.finish()
    assert life.board.is_file() and is_leaderboard(life.board)
    kept = {"manifest.json", "latency.json", "latency_samples.npy", *FILES}
    assert {path.name for path in life.run.iterdir()} == kept
    assert {path.name for path in life.run.parent.iterdir()} == {"run", "leaderboard.csv"}
    assert 0 <= life.repeated() <= life.kills.total() * UNDER_WAY
    return life


def campaign(folder: Path, n_lives: int, seed: int) -> tuple[Counter[str], int]:
    """Kills by stage, and how many episodes were played more than once."""
    undisturbed, rng = Life(folder / "undisturbed"), np.random.default_rng(seed)
    with ThreadPoolExecutor(2) as pool:
        doing = [
            pool.submit(live, Life(folder / f"life-{number}"), random_plan(rng)) for number in range(n_lives)
        ]
        pool.submit(undisturbed.finish).result()
        done = [future.result() for future in doing]
    assert undisturbed.starts() == N_EPISODES
    for life in done:
        assert life.finals() == undisturbed.finals()
    kills, repeated = sum((life.kills for life in done), Counter[str]()), sum(map(Life.repeated, done))
    print(
        f"\n{kills.total()} kills: {dict(kills)}; {repeated} of {n_lives * N_EPISODES} episodes played again"
    )
    return kills, repeated


def test_a_dozen_kills_lose_nothing(tmp_path: Path) -> None:
    kills, _ = campaign(tmp_path, 2, seed=1)
    assert kills.total() >= 6 and kills["play"] > 0


@pytest.mark.slow
def test_two_hundred_kills_lose_nothing(tmp_path: Path) -> None:
    kills, repeated = campaign(tmp_path, 36, seed=2)
    assert kills.total() >= 200 and set(STAGES) <= set(kills) and repeated > 0
