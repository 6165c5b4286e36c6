"""What people are told about their machine and their mistakes: doctor, passport, tables, errors."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import env_adapters.errors
from env_adapters.errors import HarnessError, InvalidValueError, OutputError
from harness import doctor, passport, tables
from harness.doctor import Check, diagnose, format_checks
from harness.errors import EXIT_CODES, run_command
from videos import backends
from videos.backends import Device

PROJECT = Path(__file__).resolve().parents[1]


@pytest.fixture(autouse=True)
def opengl(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with EGL and a GPU, which answers at once; tests/test_videos_robots.py asks the real one."""
    monkeypatch.delenv("MUJOCO_GL", raising=False)
    monkeypatch.setattr(backends, "candidates", lambda: ("egl", "osmesa"))
    monkeypatch.setattr(backends, "find_device", lambda limit_s: Device("egl", "NVIDIA H200"))


def check(name: str) -> Check:
    return next(found for found in diagnose() if found.name == name)


def test_every_check_that_is_not_ok_says_what_to_do() -> None:
    checks = diagnose()
    assert len({found.name for found in checks}) == len(checks)
    assert {"python", "torch", "cuda", "engine cache", "mujoco", "ffmpeg", "import datasets", "disk"} <= {
        found.name for found in checks
    }
    for found in checks:
        assert found.detail and "\n" not in found.detail
        assert bool(found.remedy) == (found.status != "ok"), found


def test_absent_packages_are_told_apart_by_need(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "installed_version", lambda name: None)
    assert check("torch") == Check("torch", "missing", "not installed", "pip install torch")
    assert check("mujoco").status == "warning"
    assert check("pettingzoo").remedy == "pip install 'marl-harness[pettingzoo]'"
    report = format_checks(diagnose())
    assert "not ready: numpy, numba, torch" in report.splitlines()[-1]


def test_unsupported_python_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor.sys, "version_info", (3, 14, 0))
    assert check("python") == Check(
        "python", "missing", "3.14.0 is not supported", "install Python 3.11 up to 3.13"
    )


@pytest.mark.parametrize(
    ("gpus", "torch", "status", "words"),
    [
        ([], "2.12.0+cpu", "ok", "no NVIDIA driver"),
        (["NVIDIA H200"], "2.12.0+cpu", "warning", "NVIDIA H200, but torch 2.12.0+cpu is a CPU build"),
        (["NVIDIA H200"], "2.12.0", "ok", "shows on first use"),
    ],
)
def test_cuda_is_judged_from_driver_and_build(
    monkeypatch: pytest.MonkeyPatch, gpus: list[str], torch: str, status: str, words: str
) -> None:
    monkeypatch.setattr(doctor, "gpu_models", lambda: gpus)
    monkeypatch.setattr(doctor, "installed_version", lambda name: torch)
    monkeypatch.setattr(doctor.shutil, "which", lambda name: None)
    assert check("cuda").status == status and words in check("cuda").detail


def test_a_stolen_import_name_is_found(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert check("import datasets").status == "ok"
    (tmp_path / "datasets").mkdir()
    (tmp_path / "datasets" / "__init__.py").write_text("")
    monkeypatch.delitem(sys.modules, "datasets", raising=False)
    with monkeypatch.context() as patch:
        patch.syspath_prepend(tmp_path)
        stolen = check("import datasets")
    assert stolen.status == "missing" and str(tmp_path) in stolen.detail
    monkeypatch.setattr(doctor, "installed_version", lambda name: "4.0")
    assert check("import datasets").status == "warning", "the third-party package is installed beside ours"


def test_an_engine_cache_that_cannot_be_written_is_a_warning(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "new"))
    assert check("engine cache") == Check("engine cache", "ok", str(tmp_path / "new" / "marl-harness"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file" / "cache"))
    assert check("engine cache").status == "warning"
    assert not (tmp_path / "new").exists(), "looking changes nothing"


def test_robot_frames_name_the_way_they_are_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    name = "MuJoCo frames"
    assert check(name) == Check(name, "ok", "3-D through EGL (hardware: NVIDIA H200)")
    software = Device("osmesa", "llvmpipe (LLVM 15.0.6, 256 bits)")
    monkeypatch.setattr(backends, "find_device", lambda limit_s: software)
    assert check(name).detail == "3-D through OSMesa (software: llvmpipe (LLVM 15.0.6, 256 bits))"
    monkeypatch.setattr(doctor, "installed_version", lambda name: None)
    assert "EGL or OSMesa, a guess" in check(name).detail and check(name).status == "ok"


def test_robot_frames_without_opengl_come_with_advice(monkeypatch: pytest.MonkeyPatch) -> None:
    name, flat = "MuJoCo frames", "robots are drawn as flat shapes"
    monkeypatch.setattr(backends, "find_device", lambda limit_s: None)
    broken = check(name)
    assert (broken.status, broken.detail) == ("warning", f"no picture through EGL or OSMesa: {flat}")
    assert "apt-get install libosmesa6" in broken.remedy
    monkeypatch.setenv("MUJOCO_GL", "glfw")
    monkeypatch.setattr(backends, "candidates", lambda: ("glfw",))
    assert check(name).detail == f"no picture through MUJOCO_GL=glfw: {flat}"
    assert check(name).remedy.startswith("unset MUJOCO_GL")
    monkeypatch.setattr(backends, "candidates", tuple)
    monkeypatch.setenv("MUJOCO_GL", "disable")
    assert check(name) == Check(name, "ok", f"{flat}, as MUJOCO_GL=disable asks")
    monkeypatch.delenv("MUJOCO_GL")
    assert check(name) == Check(name, "warning", f"no OpenGL library: {flat}", broken.remedy)


def test_a_driver_that_takes_too_long_makes_a_guess(monkeypatch: pytest.MonkeyPatch) -> None:
    def hang(limit_s: float) -> Device | None:
        raise TimeoutError("egl")

    monkeypatch.setattr(backends, "find_device", hang)
    assert "a guess: EGL gave no picture within" in check("MuJoCo frames").detail
    assert check("MuJoCo frames").status == "warning"


def test_ffmpeg_disk_and_starcraft_follow_the_machine(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", str(tmp_path / "no-ffmpeg"))
    assert check("ffmpeg").status == "missing"
    monkeypatch.delenv("SC2PATH", raising=False)
    assert check("StarCraft II").status == "ok" and "not needed" in check("StarCraft II").detail
    monkeypatch.setenv("SC2PATH", str(tmp_path / "nowhere"))
    assert check("StarCraft II").status == "warning"
    monkeypatch.setattr(doctor, "_FREE_DISK_GIB", 1e9)
    assert check("disk").status == "warning"


def test_report_ends_with_a_verdict() -> None:
    fine = Check("a", "ok", "1.0")
    doubt = Check("b", "warning", "absent", "pip install b")
    assert format_checks([fine]).splitlines()[-1] == "ready"
    assert format_checks([fine, doubt]).splitlines()[-1] == "ready (1 warning)"
    assert format_checks([fine, Check("c", "missing", "x", "y")]).splitlines()[-1] == "not ready: c missing"
    assert "pip install b" in format_checks([doubt])


def test_doctor_passport_and_errors_import_nothing_heavy() -> None:
    code = (
        "import sys, harness.doctor, harness.errors, harness.passport, harness.leaderboard, harness.records;"
        "harness.doctor.diagnose(); harness.passport.passport();"
        "print(sorted({'torch', 'numpy', 'numba', 'mujoco', 'pandas', 'h5py', 'rich'} & set(sys.modules)))"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True, check=True
    )
    assert answer.stdout.strip() == "[]"


def test_passport_is_json_and_holds_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hunter2")
    made = passport.passport()
    assert "hunter2" not in json.dumps(made)
    assert made["environment"]["OMP_NUM_THREADS"] == "3"
    assert made["packages"]["numpy"] and made["cpu"] and made["usable_cores"] >= 1
    assert made["version"]


def test_passport_knows_commit_and_changes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def git(*arguments: str) -> str:
        identity = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false"]
        command = ["git", *identity, *arguments]
        return subprocess.run(
            command, cwd=tmp_path, capture_output=True, text=True, check=True
        ).stdout.strip()

    monkeypatch.setattr(passport, "PROJECT_ROOT", tmp_path)
    assert passport.passport()["git"] is None, "not a checkout"
    git("init")
    assert passport.passport()["git"] is None, "no commit yet"
    (tmp_path / "code.py").write_text("a = 1\n")
    git("add", "code.py")
    git("commit", "-m", "first")
    git("tag", "-a", "v1", "-m", "v1")
    commit = git("rev-parse", "HEAD")
    assert passport.passport()["git"] == {"commit": commit, "dirty": False, "changes_hash": None}
    (tmp_path / "code.py").write_text("a = 2\n")
    changed = passport.passport()["git"]
    assert (changed["commit"], changed["dirty"], len(changed["changes_hash"])) == (commit, True, 16)
    (tmp_path / "below").mkdir()
    monkeypatch.setattr(passport, "PROJECT_ROOT", tmp_path / "below")
    assert passport.passport()["git"] is None, "another project's repository is not ours"


def test_table_aligns_numbers_right_and_text_left() -> None:
    rows = [["3m", 32, "31 %", 0.123456], ["5m_vs_6m", 4, None, 12.0]]
    assert tables.render(["map", "episodes", "win rate", "x"], rows).splitlines() == [
        "map       episodes  win rate       x",
        "3m              32      31 %  0.1235",
        "5m_vs_6m         4         -      12",
    ]
    with pytest.raises(ValueError, match="2 cells"):
        tables.render(["a", "b"], [["1"]])


def test_table_keeps_hostile_text_on_its_line_and_wide_rows_whole() -> None:
    header, row = tables.render(["a", "b"], [["[red]\x1b[31mx\r\n\u202ey[/]", "z" * 500]]).splitlines()
    assert row == "[red] [31mx   y[/]  " + "z" * 500
    assert header.split() == ["a", "b"]


def test_table_folds_to_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    monkeypatch.setenv("COLUMNS", "40")
    lines = tables.render(["name", "text"], [["a", "word " * 20]]).splitlines()
    assert "\x1b[1m" in lines[0]
    assert len(lines) > 2 and all(len(line) <= 40 for line in lines[1:])


def subclasses(base: type[HarnessError]) -> list[type[HarnessError]]:
    return [cls for child in base.__subclasses__() for cls in (child, *subclasses(child))]


def test_exit_codes_are_unique_documented_and_complete() -> None:
    own = [cls for cls in subclasses(HarnessError) if cls.__module__ == env_adapters.errors.__name__]
    codes = [cls.exit_code for cls in own]
    assert len(codes) == len(set(codes)) >= 10
    assert set(codes) | {0, 1, 129, 130, 141, 143} == set(EXIT_CODES)


def test_expected_errors_are_one_clean_line(capsys: pytest.CaptureFixture[str]) -> None:
    def main() -> int:
        raise InvalidValueError("episodes is \x1b[2J0\nsecond")

    assert run_command(main) == InvalidValueError.exit_code
    out, err = capsys.readouterr()
    assert (out, err) == ("", "harness: error: episodes is  [2J0 second\n")


def test_result_of_the_command_passes_through() -> None:
    assert run_command(lambda: 0) == 0
    assert run_command(lambda: OutputError.exit_code) == 7


def test_interrupt_says_how_to_go_on(capsys: pytest.CaptureFixture[str]) -> None:
    def main() -> int:
        raise KeyboardInterrupt

    assert run_command(main) == 130
    assert "the same command continues" in capsys.readouterr().err


def test_unexpected_errors_hide_the_traceback_until_asked(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def main() -> int:
        raise ZeroDivisionError("somewhere")

    monkeypatch.delenv("HARNESS_DEBUG", raising=False)
    assert run_command(main) == 1
    line = "harness: error: unexpected ZeroDivisionError: somewhere"
    assert capsys.readouterr().err == f"{line} (set HARNESS_DEBUG=1 for the traceback)\n"
    monkeypatch.setenv("HARNESS_DEBUG", "1")
    assert run_command(main) == 1
    err = capsys.readouterr().err
    assert err.startswith("Traceback") and err.endswith(f"{line}\n")


def test_broken_pipe_of_a_worker_is_not_mistaken_for_that_of_the_output(
    capsys: pytest.CaptureFixture[str],
) -> None:
    def main() -> int:
        raise BrokenPipeError("worker 3 died")

    assert run_command(main) == 1
    assert "worker 3 died" in capsys.readouterr().err


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("size", [1, 1_000_000])
def test_reader_that_goes_away_ends_the_command_quietly(size: int, unbuffered: str) -> None:
    code = f"""
import sys
from harness.errors import run_command
sys.exit(run_command(lambda: print("x" * {size}) or 0))
"""
    read_end, write_end = os.pipe()
    with subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=PROJECT,
        env={**os.environ, "PYTHONUNBUFFERED": unbuffered},
        stdout=write_end,
        stderr=subprocess.PIPE,
        text=True,
    ) as command:
        os.close(write_end)
        os.close(read_end)
        assert command.stderr is not None
        assert command.stderr.read() == ""
    assert command.returncode == 141
