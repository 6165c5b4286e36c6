"""`harness datasets convert` and `show` on datasets of other formats."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from recorded import CONTINUOUS, make_episode, write
from test_format_folders import madiff, omar
from test_format_folders import save as save_folder
from test_format_hdf5 import cfcql, omiga
from test_format_hdf5 import save as save_hdf5
from test_format_pickles import episode, save_torch
from test_format_tfrecord import cut, played
from test_format_tfrecord import save as save_tfrecord

from datasets import convert as convert_module
from datasets.formats.detect import recognise
from datasets.formats.native import open_dataset
from env_adapters.errors import InvalidValueError, MissingExtraError, OutputError, UsageError
from harness.cli import run

GOLDEN = Path(__file__).parent / "golden_datasets"


def test_formats_are_recognised(tmp_path: Path, path: Path) -> None:
    assert recognise(path) == "native"
    assert recognise(save_hdf5(tmp_path / "a.h5", omiga())) == "omiga"
    assert recognise(save_hdf5(tmp_path / "b.h5", cfcql())) == "pymarl"
    assert recognise(save_folder(tmp_path / "c", madiff())) == "madiff"
    assert recognise(save_folder(tmp_path / "d" / "seed_0_data", omar())) == "omar"
    assert recognise(tmp_path / "d") == "omar"
    assert recognise(GOLDEN / "og_marl" / "smac_v1" / "3m.vlt") == "vault"


def test_show_names_a_foreign_format_and_the_command(
    tmp_path: Path, path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = save_hdf5(tmp_path / "5m_vs_6m_medium.h5", cfcql())
    assert run(["datasets", "show", str(source)]) == 0
    shown = capsys.readouterr().out
    assert "is episodes of PyMARL as HDF5" in shown
    command = shown.split("harness ")[1].split()
    out = tmp_path / "new" / "out.h5"
    assert run([*command[:-1], str(out)]) == 0
    said = capsys.readouterr().out
    assert "144 transitions in 4 episodes" in said and "layout smac-v1" in said
    assert run(["datasets", "show", str(out)]) == 0
    assert "144 transitions in 4 episodes" in capsys.readouterr().out
    assert run(["datasets", "show", str(path)]) == 0
    assert "line-v1" in capsys.readouterr().out


def test_notes_are_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = save_folder(tmp_path / "Good", madiff())
    assert run(["datasets", "convert", str(source), "--out", str(tmp_path / "o.h5"), "--map", "3m"]) == 0
    assert "note: 2 truncated episodes gave their last row" in capsys.readouterr().out


def test_options_that_make_no_sense(tmp_path: Path, path: Path) -> None:
    with pytest.raises(UsageError, match="--out is missing"):
        run(["datasets", "convert", str(path)])
    with pytest.raises(UsageError, match="'--map' is unknown"):
        run(["datasets", "show", str(path), "--map", "3m"])
    with pytest.raises(InvalidValueError, match="native already"):
        run(["datasets", "convert", str(path), "--out", str(tmp_path / "o.h5")])


def pickles(folder: Path) -> Path:
    save_torch(folder / "0.pkl", episode(30))
    return folder


SOURCES: dict[str, Callable[[Path], Path]] = {
    "pymarl": lambda folder: save_hdf5(folder / "5m_vs_6m_medium.h5", cfcql()),
    "omiga": lambda folder: save_hdf5(folder / "Hopper-v2-3x1-expert.hdf5", omiga()),
    "omiga-smac": lambda folder: pickles(folder / "5m_vs_6m" / "good"),
    "og-marl-tfrecord": lambda folder: save_tfrecord(
        folder / "3m" / "Good", [window for seed in range(9) for window in cut(played(60, True, seed))]
    ),
    "madiff": lambda folder: save_folder(folder / "3m" / "Good", madiff()),
}


@pytest.mark.parametrize("kind", SOURCES)
@pytest.mark.parametrize("limit", [100, 4_000])
def test_a_full_disk_leaves_nothing(tmp_path: Path, kind: str, limit: int) -> None:
    resource = pytest.importorskip("resource")
    source = SOURCES[kind](tmp_path)
    assert recognise(source) == kind
    (tmp_path / "out").mkdir()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        with pytest.raises(OutputError, match="cannot write"):
            convert_module.convert(source, tmp_path / "out" / "new.h5")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert list((tmp_path / "out").iterdir()) == []


def test_a_full_disk_leaves_no_vault(tmp_path: Path) -> None:
    pytest.importorskip("tensorstore", reason="writing vaults needs the extra 'vault'")
    resource = pytest.importorskip("resource")
    episodes = [make_episode(np.random.default_rng(0), 900, CONTINUOUS, False) for _ in range(4)]
    write(tmp_path / "data.h5", episodes, CONTINUOUS)
    (tmp_path / "out").mkdir()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
    try:
        with pytest.raises(OutputError, match="cannot write"):
            convert_module.convert(tmp_path / "data.h5", tmp_path / "out" / "vault", to="vault")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert list((tmp_path / "out").iterdir()) == []


def test_without_tensorstore_a_vault_names_the_extra(
    tmp_path: Path, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tensorstore", None)
    for arguments in ([str(GOLDEN / "og_marl" / "smac_v1" / "3m.vlt"), "--out", str(tmp_path / "o.h5")],
                      [str(path), "--to", "vault", "--out", str(tmp_path / "v")]):  # fmt: skip
        with pytest.raises(MissingExtraError, match=r"marl-harness\[vault\]"):
            run(["datasets", "convert", *arguments])
    assert sorted(file.name for file in tmp_path.iterdir()) == ["data.h5"]


def test_converting_is_a_function_of_the_source(tmp_path: Path) -> None:
    source = save_hdf5(tmp_path / "5m_vs_6m_medium.h5", cfcql())
    for name in ("a", "b"):
        convert_module.convert(source, tmp_path / f"{name}.h5")
    assert (tmp_path / "a.h5").read_bytes() == (tmp_path / "b.h5").read_bytes()
    assert open_dataset(tmp_path / "a.h5").card.engine == "recorded/cfcql"


def test_reading_foreign_formats_loads_neither_torch_nor_tensorstore() -> None:
    code = (
        "import sys, datasets.convert, datasets.formats.omiga, datasets.formats.pymarl, datasets.formats.omar; "
        "print([name for name in ('torch', 'tensorstore', 'jax') if name in sys.modules])"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"
