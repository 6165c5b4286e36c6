"""Films as files: whole or absent."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from imageio_ffmpeg import count_frames_and_secs, read_frames

from env_adapters.errors import InvalidValueError, OutputError
from env_adapters.rollout import Episode
from videos import encode
from videos.style import BLUE, Picture


def moving_square(n: int, height: int = 64, width: int = 96) -> Iterator[Picture]:
    for i in range(n):
        picture = np.full((height, width, 3), 40, dtype=np.uint8)
        picture[20:40, 5 + 2 * i : 25 + 2 * i] = BLUE
        yield picture


def read_back(path: Path) -> tuple[dict[str, object], np.ndarray]:
    reader = read_frames(str(path))
    meta = next(reader)
    width, height = meta["size"]
    return meta, np.stack([np.frombuffer(data, np.uint8).reshape(height, width, 3) for data in reader])


def test_a_film_reads_back(tmp_path: Path) -> None:
    path = tmp_path / "new" / "film.mp4"
    assert encode.write_mp4(moving_square(20), path, 15) == 20
    meta, pictures = read_back(path)
    assert meta["codec"] == "h264"
    assert str(meta["pix_fmt"]).startswith("yuv420p")
    assert meta["fps"] == 15
    assert count_frames_and_secs(str(path))[0] == 20
    assert np.abs(pictures.astype(int) - np.stack(list(moving_square(20)))).mean() < 4
    assert list(path.parent.iterdir()) == [path]


def test_odd_sizes_are_made_even(tmp_path: Path) -> None:
    path = tmp_path / "odd.mp4"
    encode.write_mp4(moving_square(3, 63, 95), path, 10)
    meta, _ = read_back(path)
    assert meta["size"] == (96, 64)


def failing(n: int) -> Iterator[Picture]:
    yield from moving_square(n)
    raise ZeroDivisionError


@pytest.mark.parametrize("n", [1, 40])
def test_a_failed_film_leaves_the_old_file_and_no_other(tmp_path: Path, n: int) -> None:
    path = tmp_path / "film.mp4"
    path.write_bytes(b"old")
    with pytest.raises(ZeroDivisionError):
        encode.write_mp4(failing(n), path, 15)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_is_an_error_and_leaves_no_file(tmp_path: Path) -> None:
    """A limit on the size of files stands in for the full disk: the encoder cannot finish its file."""
    resource = pytest.importorskip("resource")
    noise = np.random.default_rng(0).integers(0, 255, (12, 64, 96, 3), dtype=np.uint8)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
    try:
        with pytest.raises(OutputError, match=r"film\.mp4"):
            encode.write_mp4(noise, tmp_path / "film.mp4", 15)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert list(tmp_path.iterdir()) == []


def test_an_unwritable_folder_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(OutputError) as caught:
        encode.write_mp4(moving_square(2), tmp_path / "file" / "film.mp4", 15)
    assert "film.mp4" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_film_without_pictures_or_of_mixed_sizes_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidValueError):
        encode.write_mp4(iter([]), tmp_path / "film.mp4", 15)
    with pytest.raises(InvalidValueError, match="picture 2"):
        encode.write_mp4([*moving_square(2), *moving_square(1, 32, 32)], tmp_path / "film.mp4", 15)
    with pytest.raises(InvalidValueError, match="without frames"):
        encode.film_episode(Episode(7), tmp_path / "film.mp4", "bc")
    assert list(tmp_path.iterdir()) == []


def test_importing_the_room_loads_no_simulator_and_no_torch() -> None:
    code = "import sys, videos.encode; print([m for m in ('torch', 'numba', 'mujoco') if m in sys.modules])"
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
        == "[]\n"
    )
