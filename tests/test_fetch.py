"""`harness datasets fetch` and its neighbours, end to end: a vault in a zip on a host, through the command line."""

from __future__ import annotations

import json
import multiprocessing
import os
import socket
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from web_hosts import Host, code, hosting, part

from datasets import cache, catalog
from datasets.convert import convert
from datasets.formats.native import open_dataset
from env_adapters.errors import (
    CheckFailedError,
    CorruptFileError,
    DownloadError,
    InvalidValueError,
    MismatchError,
    MissingExtraError,
    UnknownNameError,
    UsageError,
)
from harness.cli import run

pytest.importorskip("tensorstore", reason="reading vaults needs the extra 'vault'")
PROJECT = Path(__file__).resolve().parents[1]
GOOD = "og-marl/smac_v1/3m/Good"
USER = "import sys; from pathlib import Path; from datasets import catalog; catalog._FILE = Path(sys.argv.pop(1)); from harness.cli import main; main()"
"""The command line with a catalog of ours."""


@pytest.fixture(autouse=True)
def without_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")


class World:
    """A zip archive of a small vault of 3m, and a catalog whose figures are that vault's."""

    def __init__(self, folder: Path) -> None:
        recorded = folder / "recorded.h5"
        command = f"collect --map 3m --agent random --transitions 100 --n-games 4 --seed 3 --out {recorded}"
        assert run(command.split()) == 0
        vault = folder / "vaults" / "og_marl" / "smac_v1" / "3m.vlt" / "Good"
        convert(recorded, vault, "vault")
        self.archive = folder / "3m.zip"
        with zipfile.ZipFile(self.archive, "w", zipfile.ZIP_DEFLATED) as archive:
            for path in sorted(vault.rglob("*")):
                for quality in ("Good", "Medium"):
                    name = Path("3m.vlt") / quality / path.relative_to(vault)
                    archive.write(path, f"{name}/" if path.is_dir() else str(name))
        card = open_dataset(recorded).card
        held = json.loads((PROJECT / "datasets" / "catalog.json").read_text())
        held["archives"]["og-marl/smac_v1/3m"]["size_bytes"] = self.archive.stat().st_size
        for row in held["datasets"]:
            if row["archive"] == "og-marl/smac_v1/3m":
                figures = {
                    f"return_{key}": getattr(card.returns, key) for key in ("mean", "std", "min", "max")
                }
                counts = {"n_transitions": card.n_transitions, "n_episodes": card.n_episodes}
                row.update(figures | counts)
        self.catalog = folder / "catalog.json"
        self.catalog.write_text(json.dumps(held))
        self.card = card


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return World(tmp_path_factory.mktemp("world"))


@pytest.fixture
def host(world: World) -> Iterator[Host]:
    with hosting(world.archive.read_bytes()) as made:
        yield made


@pytest.fixture
def root(tmp_path: Path, world: World, host: Host, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The cache of this test; the catalog is that of the world, the host its mirror."""
    monkeypatch.setenv("HARNESS_DATASETS", str(tmp_path / "cache"))
    monkeypatch.setenv("HARNESS_DATASETS_MIRROR", f"{host.url}/base/")
    monkeypatch.setattr(catalog, "_FILE", world.catalog)
    caches: list[Any] = [catalog._all, catalog._by_key]
    for function in caches:
        function.cache_clear()
    yield tmp_path / "cache"
    for function in caches:
        function.cache_clear()


def files(root: Path) -> dict[str, int]:
    return {str(path.relative_to(root)): path.stat().st_size for path in root.rglob("*") if path.is_file()}


FETCHED = {f"og-marl/smac_v1/3m/{name}" for name in ("Good.h5", "archive.zip", "archive.json")}
QUICK = ("--attempts", "2", "--timeout", "0.3")


def fetch(*arguments: str) -> int:
    return run(["datasets", "fetch", *(arguments or (GOOD,)), *QUICK])


def test_a_dataset_is_fetched_once(
    root: Path, host: Host, world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    assert fetch() == 0
    said = capsys.readouterr().out
    assert f"{GOOD}: fetched, {root}" in said and "layout smac-v1" in said
    assert f"next: harness train --agent vgm2p --dataset {GOOD}" in said
    assert host.paths == ["/base/core/smac_v1/3m.zip"] and set(files(root)) == FETCHED
    card = open_dataset(cache.native_path(catalog.find(GOOD))).card
    assert (card.source, card.scenario, card.n_transitions) == (GOOD, "3m-v1", world.card.n_transitions)
    assert fetch(GOOD.lower()) == 0
    assert "fetched before" in capsys.readouterr().out and len(host.paths) == 1


def test_qualities_share_an_archive(root: Path, host: Host, capsys: pytest.CaptureFixture[str]) -> None:
    fetch()
    medium = GOOD.replace("Good", "Medium")
    assert fetch(medium) == 0 and len(host.paths) == 1
    capsys.readouterr()
    assert run(["datasets", "rm", GOOD]) == 0
    assert "MB freed" in capsys.readouterr().out
    assert set(files(root)) == {path.replace("Good", "Medium") for path in FETCHED}
    assert run(["datasets", "rm", medium]) == 0
    assert set(files(root)) == {"og-marl/smac_v1/3m/archive.json"}
    with pytest.raises(UnknownNameError, match=r"nothing of .*Medium is in"):
        run(["datasets", "rm", medium])


def test_the_archive_must_stay_what_it_was(
    root: Path, host: Host, capsys: pytest.CaptureFixture[str]
) -> None:
    fetch()
    run(["datasets", "rm", GOOD])
    host.content += b"\0"
    with pytest.raises(
        CorruptFileError, match=r"is not the archive that was fetched first: sha256 .* --forget"
    ):
        fetch()
    assert set(files(root)) == {"og-marl/smac_v1/3m/archive.json"}
    assert run(["datasets", "rm", GOOD, "--forget"]) == 0
    assert not (root / "og-marl").exists()


def test_an_archive_that_was_damaged_in_the_cache(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fetch()
    archive = cache.archive_path(catalog.find(GOOD))
    raw = bytearray(archive.read_bytes())
    raw[len(raw) // 2] ^= 1
    archive.write_bytes(raw)
    with pytest.raises(CorruptFileError, match="recorded was"):
        run(["datasets", "verify", GOOD])
    cache.native_path(catalog.find(GOOD)).unlink()
    with pytest.raises(CorruptFileError, match="is not the archive that was fetched first"):
        fetch()
    assert fetch() == 0


def test_a_damaged_archive_is_not_kept(root: Path, host: Host) -> None:
    host.content = host.content[:-100]
    with pytest.raises(CorruptFileError, match="the archive was deleted, the same command downloads it anew"):
        fetch()
    assert not root.exists() or files(root) == {}


def test_another_archive_than_the_name_says(root: Path, tmp_path: Path, world: World) -> None:
    with pytest.raises(MismatchError, match=r"holds 3m\.vlt, not 8m\.vlt"):
        fetch("og-marl/smac_v1/8m/Good", "--from", str(world.archive))
    assert not root.exists() or files(root) == {}


def test_figures_that_differ_are_said_and_the_dataset_is_kept(
    root: Path,
    world: World,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    held = json.loads(world.catalog.read_text())
    for row in held["datasets"]:
        row["return_mean"] += 0.5
    (tmp_path / "other.json").write_text(json.dumps(held))
    monkeypatch.setattr(catalog, "_FILE", tmp_path / "other.json")
    for command in (fetch, lambda: run(["datasets", "verify", GOOD])):
        with pytest.raises(
            CheckFailedError, match=rf"not what was published as {GOOD}: return mean \S+ instead of"
        ):
            command()
        assert "NO" in capsys.readouterr().out
    assert set(files(root)) == {path for path in FETCHED if not path.endswith("json")}, "nothing was verified"


def test_a_vault_of_flashbax_is_named_by_its_place(root: Path, host: Host, tmp_path: Path) -> None:
    """Such vaults do not say what they hold: scenario and layout follow from the catalog."""
    golden = PROJECT / "tests" / "golden_datasets" / "og_marl" / "smac_v1"
    with zipfile.ZipFile(tmp_path / "3m.zip", "w") as archive:
        for path in sorted(golden.rglob("*")):
            archive.write(path, path.relative_to(golden))
    host.content = (tmp_path / "3m.zip").read_bytes()
    with pytest.raises(CheckFailedError, match="transitions 35 instead of"):
        fetch()
    card = open_dataset(cache.locate(GOOD)).card
    assert (card.scenario, card.layout, card.source) == ("3m-v1", "smac-v1", GOOD)


def test_an_own_archive_needs_no_download(
    root: Path, host: Host, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HARNESS_OFFLINE", "1")
    assert fetch(GOOD, "--from", str(world.archive)) == 0
    assert host.paths == [] and set(files(root)) == {"og-marl/smac_v1/3m/Good.h5"}
    for given, error in (
        (world.catalog, CorruptFileError),
        (world.archive.parent / "none.zip", UnknownNameError),
    ):
        with pytest.raises(error, match="--from"):
            fetch(GOOD.replace("Good", "Poor"), "--from", str(given))


def test_offline(
    root: Path, host: Host, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fetch()
    monkeypatch.setenv("HARNESS_OFFLINE", "1")

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a socket was made")

    for name in ("socket", "create_connection", "getaddrinfo"):
        monkeypatch.setattr(socket, name, refuse)
    assert fetch() == 0, "what is there needs no connection"
    assert fetch(GOOD.replace("Good", "Medium")) == 0, "nor does an archive that is there"
    for action in (["ls"], ["show", GOOD], ["verify", GOOD]):
        assert run(["datasets", *action]) == 0
    for via in ("https", "hub"):
        monkeypatch.setitem(sys.modules, "huggingface_hub", ModuleType("huggingface_hub"))
        with pytest.raises(DownloadError, match=f"HARNESS_OFFLINE is set; fetched already: {GOOD}, "):
            monkeypatch.delenv("HARNESS_DATASETS_MIRROR", raising=False)
            fetch("og-marl/smac_v1/8m/Good", "--via", via)
    assert set(files(root)) == FETCHED | {"og-marl/smac_v1/3m/Medium.h5"}


def test_a_mirror_counts_before_the_environment(root: Path, host: Host) -> None:
    fetch(GOOD, "--mirror", f"{host.url}/mine")
    assert host.paths == ["/mine/core/smac_v1/3m.zip"]


def test_a_failed_download_is_continued(root: Path, host: Host, capsys: pytest.CaptureFixture[str]) -> None:
    host.answers = [part(1000), part(500)]
    with pytest.raises(DownloadError, match="1500 bytes are kept and the same command continues"):
        fetch()
    assert run(["datasets", "ls", "3m/good", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)["datasets"][0]
    assert (told["name"], told["file"], told["archive_partial_bytes"]) == (GOOD, None, 1500)
    assert fetch() == 0 and host.headers[-1]["Range"] == "bytes=1500-"


def test_a_host_that_has_it_not(root: Path, host: Host) -> None:
    host.always = code(404)
    with pytest.raises(DownloadError, match=r"3m\.zip answers 404 .*try --mirror, or give --from FILE"):
        fetch()
    assert not root.exists() or files(root) == {}


def test_through_the_hub(root: Path, host: Host, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HARNESS_DATASETS_MIRROR")
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(MissingExtraError, match=r"marl-harness\[hub\]"):
        fetch(GOOD, "--via", "hub")
    package, asked = ModuleType("huggingface_hub"), list[dict[str, Any]]()

    def hf_hub_download(**options: Any) -> str:
        asked.append(options)
        path = Path(options["local_dir"]) / options["filename"]
        path.parent.mkdir(parents=True)
        path.write_bytes(world.archive.read_bytes())
        return str(path)

    package.hf_hub_download = hf_hub_download  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "huggingface_hub", package)
    assert fetch(GOOD, "--via", "hub") == 0
    assert (asked[0]["repo_id"], asked[0]["repo_type"]) == ("InstaDeepAI/og-marl", "dataset")
    assert host.paths == [] and set(files(root)) == FETCHED

    def fail(**_: Any) -> str:
        raise ValueError("401 Client Error\nand more")

    package.hf_hub_download = fail  # type: ignore[attr-defined]
    with pytest.raises(DownloadError, match=r"could not fetch .*8m\.zip: 401 Client Error$"):
        fetch("og-marl/smac_v1/8m/Good", "--via", "hub")


def test_without_tensorstore_nothing_is_downloaded(
    root: Path, host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tensorstore", None)
    with pytest.raises(MissingExtraError, match=r"marl-harness\[vault\]"):
        fetch()
    assert host.paths == [] and files(root) == {}


def _hold(root: str, held: Any, go: Any) -> None:
    os.environ["HARNESS_DATASETS"] = root
    with cache.locked(catalog.find(GOOD), lambda line: None):
        held.set()
        go.wait(20)


def test_a_second_process_waits_and_says_so(
    root: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    context = multiprocessing.get_context("spawn")
    held, go = context.Event(), context.Event()
    other = context.Process(target=_hold, args=(str(root), held, go))
    other.start()
    assert held.wait(30)
    monkeypatch.setattr("datasets.cache.time.sleep", lambda _: go.set())
    assert fetch() == 0
    other.join(20)
    assert capsys.readouterr().err.count("another process is at work in") == 1


def test_what_a_killed_process_left_is_removed(root: Path) -> None:
    place = root / "og-marl" / "smac_v1" / "3m"
    (place / ".extracted-x" / "d").mkdir(parents=True)
    (place / ".archive.zip.part.json.ab.tmp").write_bytes(b"")
    assert fetch() == 0
    assert {path.name for path in place.iterdir()} == {"Good.h5", "archive.zip", "archive.json"}


def test_rm_stays_in_the_cache(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "Good.h5").write_bytes(b"mine")
    (root / "og-marl" / "smac_v1").mkdir(parents=True)
    (root / "og-marl" / "smac_v1" / "3m").symlink_to(outside)
    with pytest.raises(InvalidValueError, match=r"leads out of the cache.*nothing was deleted"):
        run(["datasets", "rm", GOOD])
    with pytest.raises(UsageError, match="files of yours are not deleted"):
        run(["datasets", "rm", str(outside / "Good.h5")])
    with pytest.raises(UnknownNameError):
        run(["datasets", "rm", "og-marl/../../outside/Good"])
    assert (outside / "Good.h5").read_bytes() == b"mine"


def user(
    world: World, root: Path, cwd: Path, **surroundings: str
) -> Callable[..., subprocess.CompletedProcess[str]]:
    base = {key: value for key, value in os.environ.items() if not key.lower().endswith("_proxy")}
    env = base | {
        "PYTHONPATH": str(PROJECT),
        "HARNESS_DATASETS": str(root),
        "OMP_NUM_THREADS": "1",
        **surroundings,
    }

    def call(line: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", USER, str(world.catalog), *line.split()]
        return subprocess.run(
            command, cwd=cwd, env=env, capture_output=True, text=True, timeout=300, check=False
        )

    return call


def test_from_a_host_to_a_trained_agent(world: World, host: Host, tmp_path: Path) -> None:
    harness = user(world, tmp_path / "cache", tmp_path, HARNESS_DATASETS_MIRROR=host.url)

    def says(line: str) -> str:
        answer = harness(line)
        assert answer.returncode == 0, answer.stderr
        return answer.stdout + answer.stderr

    assert "fetched, " in says(f"datasets fetch {GOOD}")
    assert "yes, " in says("datasets ls 3m/Good")
    shown = says(f"datasets show {GOOD}")
    assert "fetched: " in shown and "3m-v1  layout smac-v1" in shown
    verified = says(f"datasets verify {GOOD}")
    assert (
        "every byte is as it was written" in verified
        and f"agrees with what was published as {GOOD}" in verified
    )
    trained = says(f"train --agent vgm2p --dataset {GOOD} --steps 3 --hidden 8")
    assert "runs/train/og-marl-smac_v1-3m-Good-vgm2p-s0/checkpoint.safetensors" in trained
    assert "MB freed" in says(f"datasets rm {GOOD}")
    assert "not fetched" in says(f"datasets show {GOOD}")
    assert len(host.paths) == 1
