"""Ends of episodes in data of others: missing ones, ones that contradict themselves, and what is said of lost steps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_format_folders import madiff, omar
from test_format_folders import save as save_folder
from test_format_hdf5 import cfcql, omiga
from test_format_hdf5 import save as save_hdf5
from test_format_pickles import Episode, episode, save_torch
from test_format_tfrecord import cut, played
from test_format_tfrecord import save as save_tfrecord

from datasets.convert import Conversion, convert
from datasets.formats.native import open_dataset
from datasets.formats.source import Reading
from datasets.schema import Dataset
from env_adapters.errors import CorruptFileError, InvalidValueError

Arrays = dict[str, Any]


def read(path: Path, tmp_path: Path, terminals: str = "auto") -> tuple[Dataset, Conversion]:
    conversion = convert(path, tmp_path / "out.h5", reading=Reading(terminals=terminals))
    return open_dataset(tmp_path / "out.h5"), conversion


def refused(path: Path, tmp_path: Path, message: str) -> None:
    with pytest.raises(CorruptFileError, match=message) as caught:
        convert(path, tmp_path / "out.h5")
    assert path.name in str(caught.value) and "\n" not in str(caught.value)
    assert not (tmp_path / "out.h5").exists()


def unflagged(arrays: Arrays) -> Arrays:
    return arrays | {"discounts": np.ones_like(arrays["discounts"])}


def test_madiff_without_any_end_is_refused_unless_paths_end_there(tmp_path: Path) -> None:
    arrays = unflagged(madiff())
    path = save_folder(tmp_path / "3m" / "Good", arrays)
    refused(
        path,
        tmp_path,
        r"'discounts\.npy' flags no end .* 3 of 4 .* 4 steps, .* limit is 60.*--terminals path",
    )
    dataset, conversion = read(path, tmp_path, "path")
    assert np.diff(dataset.episode_offsets).tolist() == [4, 25, 1, 8]
    assert dataset.terminated[[3, 28, 29, 37]].all() and not dataset.truncated.any()
    np.testing.assert_array_equal(dataset.rewards, arrays["rewards"][:, 0].astype(np.float32))
    assert "4 episodes count as terminated" in conversion.notes[0]


def test_paths_as_long_as_the_limit_were_ended_by_it(tmp_path: Path) -> None:
    arrays = unflagged(madiff())
    arrays = {key: np.repeat(values, 5, axis=0)[:180] for key, values in arrays.items()}
    path = save_folder(tmp_path / "3m" / "Poor", arrays | {"path_lengths": np.array([60, 60, 60])})
    for terminals in ("auto", "path"):
        dataset, conversion = read(path, tmp_path, terminals)
        assert np.diff(dataset.episode_offsets).tolist() == [59] * 3 and dataset.truncated.sum() == 3
        assert "3 transitions fewer" in conversion.notes[-1]


@pytest.mark.parametrize("lengths", [[10, 10, 10, 8], [38]])
def test_episodes_of_one_length_look_like_a_time_limit(tmp_path: Path, lengths: list[int]) -> None:
    """On a scenario of which no limit is known; the last one may have been cut by the recording."""
    path = save_folder(tmp_path / "walkers" / "a", unflagged(madiff()) | {"path_lengths": np.array(lengths)})
    dataset, _ = read(path, tmp_path)
    assert np.diff(dataset.episode_offsets).tolist() == [length - 1 for length in lengths]
    (tmp_path / "out.h5").unlink()
    path = save_folder(tmp_path / "walkers" / "b", unflagged(madiff()))
    refused(path, tmp_path, r"flags no end .* \(one has 25 steps, others have 4")


def test_particle_worlds_never_flag_an_end(tmp_path: Path) -> None:
    path = save_folder(tmp_path / "simple_spread" / "expert" / "seed_0_data", omar())
    dataset, conversion = read(path, tmp_path)
    assert dataset.truncated.sum() == 4 and dataset.n_transitions == 100 and conversion.notes == ()


def test_notes_count_what_is_lost(tmp_path: Path) -> None:
    _, conversion = read(save_folder(tmp_path / "3m" / "Good", madiff()), tmp_path)
    assert conversion.card.notes == conversion.notes
    assert "2 truncated episodes gave their last row" in conversion.notes[0]
    assert conversion.notes[0].endswith("2 transitions fewer; 1 of them had no other row and are gone")
    assert "2 episodes shorter than the limit of 60 steps have no end flagged" in conversion.notes[1]


def without_ends(covered: int) -> Arrays:
    """CFCQL's four episodes without a flag; `filled` covers the steps and so many moments more."""
    arrays = cfcql()
    arrays["terminated"][:] = 0
    for number, length in enumerate((4, 70, 1, 69)):
        arrays["filled"][number] = 0
        arrays["filled"][number, : length + covered] = 1
        arrays["reward"][number, length:] = 0
    return arrays


@pytest.mark.parametrize("covered", [0, 1])
def test_pymarl_without_any_end_is_refused_unless_filled_says_it(tmp_path: Path, covered: int) -> None:
    arrays = without_ends(covered)
    path = save_hdf5(tmp_path / "5m_vs_6m_medium.h5", arrays)
    refused(path, tmp_path, "'terminated' flags no end .* 4 steps, the map's limit is 70.*--terminals path")
    dataset, conversion = read(path, tmp_path, "path")
    limited = 70 - (not covered)  # without the moment after it, the last of them is not a transition
    assert np.diff(dataset.episode_offsets).tolist() == [4, limited, 1, 69]
    assert [bool(dataset.episode(number).terminated[-1]) for number in range(4)] == [True, False, True, True]
    for number, length in enumerate((4, limited, 1, 69)):
        np.testing.assert_array_equal(dataset.episode(number).rewards, arrays["reward"][number, :length, 0])
    assert ("1 transitions fewer" in conversion.notes[-1]) == (not covered)


def test_pymarl_masks_of_steps_lose_nothing_without_a_word(tmp_path: Path) -> None:
    arrays = cfcql()
    for number, length in enumerate((4, 70, 1, 69)):
        arrays["filled"][number, length:] = 0
    dataset, conversion = read(save_hdf5(tmp_path / "5m_vs_6m_medium.h5", arrays), tmp_path)
    assert np.diff(dataset.episode_offsets).tolist() == [4, 69, 1, 69]
    assert "1 truncated episodes gave their last row" in conversion.notes[0]


def smac(folder: Path, lengths: tuple[int, ...], flagged: bool = True) -> Path:
    for number, length in enumerate(lengths):
        content: Episode = episode(length, number)
        for agent in content:
            agent[-1][4] = flagged
        save_torch(folder / f"{number}.pkl", content)
    return folder


def test_omigas_smac_without_any_end(tmp_path: Path) -> None:
    path = smac(tmp_path / "5m_vs_6m" / "good", (4, 70, 3), flagged=False)
    refused(
        path,
        tmp_path,
        r"'entry 4 \(dones\)' flags no end .* 4 steps, the map's limit is 70.*--terminals path",
    )
    dataset, _ = read(path, tmp_path, "path")
    assert np.diff(dataset.episode_offsets).tolist() == [4, 69, 3]


@pytest.mark.parametrize(("lengths", "n_lost"), [((4, 3), 0), ((4, 70, 70), 2)])
def test_omigas_smac_notes_have_numbers(tmp_path: Path, lengths: tuple[int, ...], n_lost: int) -> None:
    _, conversion = read(smac(tmp_path / "5m_vs_6m" / "good", lengths), tmp_path)
    assert len(conversion.notes) == (n_lost > 0)
    assert all(f"{n_lost} transitions fewer" in note for note in conversion.notes)


def test_windows_without_any_end(tmp_path: Path) -> None:
    windows = [w for seed, length in enumerate((25, 33, 41)) for w in cut(played(length, False, seed))]
    path = save_tfrecord(tmp_path / "3m" / "Good", windows)
    refused(path, tmp_path, "flags no end .* 25 steps, the map's limit is 60")
    dataset, _ = read(path, tmp_path, "path")
    assert np.diff(dataset.episode_offsets).tolist() == [25, 33, 41] and dataset.terminated.sum() == 3


def test_an_end_inside_a_path(tmp_path: Path) -> None:
    arrays = madiff()
    arrays["discounts"][20, 0] = 0  # one agent alone may die
    path = save_folder(tmp_path / "3m" / "Good", arrays)
    assert read(path, tmp_path)[0].n_episodes == 3
    arrays["discounts"][20] = 0
    np.save(path / "discounts.npy", arrays["discounts"])
    (tmp_path / "out.h5").unlink()
    refused(path, tmp_path, r"'discounts\.npy' row 20 is 0, but the path goes on")
    arrays["discounts"][20] = 1.5
    np.save(path / "discounts.npy", arrays["discounts"])
    refused(path, tmp_path, r"'discounts\.npy' row 20 is not a number from 0 to 1")
    arrays["discounts"][20] = 1
    last = int(np.cumsum(arrays["path_lengths"].reshape(-1))[0]) - 1
    arrays["discounts"][last, 1] = 1 - arrays["discounts"][last, 1]
    np.save(path / "discounts.npy", arrays["discounts"])
    refused(path, tmp_path, rf"'discounts\.npy' row {last} is 0 for some agents only, at the path's end")


def test_an_end_inside_a_file(tmp_path: Path) -> None:
    content = episode(8)
    for agent in content:
        agent[3][4] = True
    path = save_torch(tmp_path / "5m_vs_6m" / "good" / "0.pkl", content)
    with pytest.raises(
        CorruptFileError, match=r"0\.pkl: 'entry 4 \(dones\)' row 3 is true of all agents, but"
    ):
        convert(path.parent, tmp_path / "out.h5")


def test_agents_of_a_robot_end_together(tmp_path: Path) -> None:
    arrays = omiga()
    arrays["d"][77, 1] = 1
    refused(
        save_hdf5(tmp_path / "Hopper-v2-3x1-expert.hdf5", arrays),
        tmp_path,
        "'d' row 77 differs between agents",
    )


@pytest.mark.parametrize("name", ["Hopper-v2-3x1-expert.hdf5", "unknown.hdf5"])
def test_longer_episodes_than_the_scenario_allows(tmp_path: Path, name: str) -> None:
    arrays = omiga()
    arrays["d"][1000] = 0  # the first two episodes become one
    refused(
        save_hdf5(tmp_path / name, arrays),
        tmp_path,
        r"'d' row 1041 makes an episode of 1041 steps, .* ends after 1000",
    )


def test_longer_paths_episodes_and_files_than_the_map_allows(tmp_path: Path) -> None:
    arrays = {key: np.repeat(values, 5, axis=0)[:61] for key, values in madiff().items()}
    arrays["discounts"][:] = 1
    path = save_folder(tmp_path / "3m" / "Good", arrays | {"path_lengths": np.array([61])})
    refused(path, tmp_path, "row 60 makes an episode of 61 steps, but 3m ends after 60")
    path = smac(tmp_path / "5m_vs_6m" / "good", (4, 71))
    refused(path, tmp_path, r"of 1\.pkl makes an episode of 71 steps, but 5m_vs_6m ends after 70")
    path = save_hdf5(tmp_path / "3m_medium.h5", cfcql())
    refused(
        path, tmp_path, "'terminated' episode 1, step 69 makes an episode of 70 steps, but 3m ends after 60"
    )


@pytest.mark.parametrize("terminals", ["transition", "row"])
def test_ways_of_reading_ends_that_a_format_has_not(tmp_path: Path, terminals: str) -> None:
    path = save_folder(tmp_path / "3m" / "Good", madiff())
    with pytest.raises(
        InvalidValueError, match=f"--terminals {terminals} means nothing for .*; use auto or path"
    ):
        read(path, tmp_path, terminals)
    with pytest.raises(InvalidValueError, match="use auto or transition or row"):
        read(save_hdf5(tmp_path / "a.h5", omiga()), tmp_path, "path")


def test_numbers_that_no_world_gives(tmp_path: Path) -> None:
    arrays = madiff()
    arrays["rewards"][5] = 1e30
    refused(
        save_folder(tmp_path / "a" / "Good", arrays), tmp_path, r"'rewards\.npy' row 5 is beyond ±1000000"
    )
    robots = omiga()
    robots["a"][7] = -1e7
    refused(save_hdf5(tmp_path / "a.h5", robots), tmp_path, "'a' row 7 is beyond ±1000000")
    episodes = cfcql()
    episodes["reward"][1, 33] = -1e30
    refused(save_hdf5(tmp_path / "5m_vs_6m.h5", episodes), tmp_path, "'reward' episode 1, step 33 is beyond")


@pytest.mark.parametrize("value", [0.5, 2])
def test_masks_are_ones_and_zeros(tmp_path: Path, value: float) -> None:
    arrays = madiff()
    arrays["legals"][9, 1, 2] = value
    refused(save_folder(tmp_path / "a" / "Good", arrays), tmp_path, r"'legals\.npy' row 9 is neither 0 nor 1")
    episodes = cfcql()
    episodes["avail_actions"] = episodes["avail_actions"].astype(np.float32)
    episodes["avail_actions"][1, 33, 4] = value
    refused(
        save_hdf5(tmp_path / "5m_vs_6m.h5", episodes),
        tmp_path,
        "'avail_actions' episode 1, step 33 is neither",
    )


def test_actions_out_of_range_are_counted(tmp_path: Path) -> None:
    """Recorded before the simulator clipped them, as Gaussian policies give them."""
    arrays = omiga()
    arrays["a"] = np.clip(arrays["a"], -1, 1)
    assert read(save_hdf5(tmp_path / "a.h5", arrays), tmp_path)[1].notes == ()
    arrays["a"][[3, 1000, 1500], 0] = 1.7  # row 1000 holds no transition
    arrays["a"][3, 1] = -1.2
    dataset, conversion = read(save_hdf5(tmp_path / "a.h5", arrays), tmp_path)
    assert conversion.notes[0].startswith(
        "2 transitions have actions outside [-1, 1], up to 1.7: they are kept"
    )
    assert dataset.actions[3, 0, 0] == np.float32(1.7)
