"""Films as mp4 files: H.264 in yuv420p, which every browser plays.

The encoder is the ffmpeg program that imageio-ffmpeg ships. It is run from here rather than through
imageio's writer, which takes a film cut short by a full disk for a success.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import chain
from pathlib import Path

import imageio.v3
import numpy as np
from imageio_ffmpeg import get_ffmpeg_exe  # type: ignore[import-untyped]

from env_adapters.errors import InvalidValueError, OutputError
from env_adapters.files import write_atomic
from env_adapters.rollout import Episode
from videos import mujoco, starcraft
from videos.style import Picture

_RENDERERS = {"starcraft": starcraft, "mujoco": mujoco}


def write_mp4(frames: Iterable[Picture], path: Path, fps: int) -> int:
    """Encode pictures of one size into `path`, which appears only when the film is complete.

    Args:
        frames: uint8[height, width, 3]; an odd size is widened by one pixel, as the codec needs even ones.
        path: ends in .mp4; its folder is created, an older file is replaced.
        fps: pictures per second.

    Returns:
        The number of pictures written.

    Raises:
        InvalidValueError: there is no picture, or pictures differ in size.
        OutputError: the folder or file cannot be written, or the encoder failed.
    """
    source = iter(frames)
    first = next(source, None)
    if first is None:
        raise InvalidValueError(f"film {path} would have no pictures; record the episode with its frames")
    partial = path.with_name(f".{path.stem}.{os.getpid()}.partial.mp4")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.touch()  # fails with a plain reason where the encoder's would be a page long
        written = _encode(chain([first], source), first.shape, partial, fps)
        partial.replace(path)
    except (OSError, RuntimeError) as error:  # RuntimeError: imageio-ffmpeg finds no encoder
        reason = getattr(error, "strerror", None) or str(error)
        raise OutputError(
            f"cannot write film {path}: {reason}; choose another folder or free some space"
        ) from error
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
    return written


def _command(shape: tuple[int, ...], path: Path, fps: int) -> list[str]:
    height, width = (size + size % 2 for size in shape[:2])
    pictures = f"-f rawvideo -pix_fmt rgb24 -s {width}x{height} -r {fps} -i pipe:0"
    codec = "-c:v libx264 -preset veryfast -crf 20 -pix_fmt yuv420p -movflags +faststart -f mp4"
    return [get_ffmpeg_exe(), "-y", "-loglevel", "error", *pictures.split(), *codec.split(), str(path)]


def _encode(frames: Iterable[Picture], shape: tuple[int, ...], path: Path, fps: int) -> int:
    """Feed the encoder; OSError with its last complaint where it fails."""
    written = 0
    with (
        tempfile.TemporaryFile() as complaints,
        subprocess.Popen(_command(shape, path, fps), stdin=subprocess.PIPE, stderr=complaints) as encoder,
    ):
        assert encoder.stdin is not None
        try:
            for frame in frames:
                if frame.shape != shape:
                    raise InvalidValueError(
                        f"film {path}: picture {written} is {frame.shape}, the first is {shape}"
                    )
                encoder.stdin.write(_even(frame).data)
                written += 1
            encoder.stdin.close()
        except BrokenPipeError:
            pass  # the encoder gave up; its exit code and complaint say why
        except BaseException:
            encoder.kill()
            raise
        if encoder.wait() != 0:
            complaints.seek(0)
            lines = complaints.read().decode(errors="replace").splitlines()
            reason = (
                lines[-1].split("] ")[-1] if lines else f"the encoder ended with code {encoder.returncode}"
            )
            raise OSError(reason)
    return written


def _even(frame: Picture) -> Picture:
    """The picture in one block of memory, its last row or column repeated where a size is odd."""
    odd_height, odd_width = frame.shape[0] % 2, frame.shape[1] % 2
    if odd_height or odd_width:
        frame = np.pad(frame, ((0, odd_height), (0, odd_width), (0, 0)), mode="edge")
    return np.ascontiguousarray(frame)


def film_episode(episode: Episode, path: Path, title: str) -> Path:
    """Draw a recorded episode, write it to `path` and its last picture beside it (.png); returns `path`.

    Args:
        episode: recorded with its frames; their kind decides who draws.
        path: ends in .mp4.
        title: who acts, for the header.

    Raises:
        InvalidValueError: the episode was recorded without frames.
        OutputError: as `write_mp4`.
        MissingExtraError: a robot's episode, and MuJoCo or its model files are not installed.
    """
    if not episode.frames:
        raise InvalidValueError(
            f"episode {episode.seed} was recorded without frames, so {path} cannot be drawn"
        )
    renderer = _RENDERERS[episode.frames[0].kind]
    last = _Last(renderer.film(episode, title))
    write_mp4(last, path, renderer.FPS)
    write_atomic(path.with_suffix(".png"), imageio.v3.imwrite("<bytes>", last.picture, extension=".png"))
    return path


class _Last:
    """Iterates over pictures and remembers the last one."""

    def __init__(self, pictures: Iterable[Picture]) -> None:
        self._pictures = iter(pictures)
        self.picture = np.zeros((1, 1, 3), dtype=np.uint8)

    def __iter__(self) -> Iterator[Picture]:
        for picture in self._pictures:
            self.picture = picture
            yield picture
