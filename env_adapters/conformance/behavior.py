"""Rules that take a whole episode to see: determinism, independence, ownership, ends, snapshots."""

from __future__ import annotations

import dataclasses
import random
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from env_adapters.api import ActionArray, DecentralizedEnv, TeamSpec, VectorEnv
from env_adapters.conformance.playthrough import (
    Bench,
    Moment,
    Playthrough,
    difference,
    draw_joint_action,
    ended,
)
from env_adapters.conformance.violation import ConformanceError, require
from env_adapters.errors import ActionError, CorruptFileError, MismatchError
from env_adapters.snapshots import pack

Traces = list[list[Moment]]
"""[B][T + 1], the moments of one episode per game."""


def check_same(rule: str, expected: Traces, actual: Traces, ignore: Sequence[str] = ()) -> None:
    """Two sets of traces are equal in every bit, up to the end of the shorter one."""
    for game, (one, other) in enumerate(zip(expected, actual, strict=True)):
        for time, (before, after) in enumerate(zip(one, other, strict=False)):
            name = difference(before, after, ignore)
            require(name is None, rule, f"{name} of game {game} differs at moment {time}")


def check_global_generators(bench: Bench, seeds: Sequence[int], steps: int) -> None:
    """Playing neither draws from nor seeds the generators of `random` and `numpy.random`."""
    before = random.getstate(), _global_numpy_state()
    Playthrough(bench, seeds).advance(steps)
    untouched = (random.getstate(), _global_numpy_state()) == before
    detail = "reset or step draws from `random` or `numpy.random`, or seeds it"
    require(untouched, "no global generator", detail)


def _global_numpy_state() -> tuple[Any, ...]:
    """State of NumPy's global generator in a form that compares."""
    _, key, *rest = np.random.get_state()  # noqa: NPY002 (looking at it is the point)
    return (np.asarray(key).tobytes(), *rest)


def check_end(episode: list[Moment], spec: TeamSpec) -> int:
    """The episode ends as the spec says and then stays as it is; returns its length."""
    limit = spec.episode_limit
    end = next((time for time, moment in enumerate(episode) if ended(moment)), None)
    if end is None or end > limit:
        raise ConformanceError(
            "episode limit", f"spec.episode_limit is {limit}, but step {limit} does not end"
        )
    require(end > 0, "episode limit", "the episode has ended before its first step")
    early = bool(episode[end]["truncated"]) and end < limit
    require(not early, "episode limit", f"truncated at step {end}, but spec.episode_limit is {limit}")
    frozen = {**episode[end], "reward": np.array(0.0)}
    expected = episode[: end + 1] + [frozen] * (len(episode) - end - 1)
    check_same("ended worlds stay as they are", [expected], [episode])
    return end


def check_repeats(bench: Bench, fresh: Sequence[Bench], seeds: Sequence[int], alone: Traces) -> None:
    """A seed decides its episode: again in the same world, and in fresh worlds stepped side by side."""
    steps = len(alone[0]) - 1
    again = [Playthrough(bench, [seed]).advance(steps).traces[0] for seed in reversed(seeds)]
    check_same("the seed decides the episode", alone, again[::-1])
    plays = [Playthrough(world, [seed]) for world, seed in zip(fresh, seeds, strict=True)]
    for _ in range(steps):
        for play in plays:
            play.advance()
    check_same("worlds side by side are independent", alone, [play.traces[0] for play in plays])


def check_hashes(traces: Traces) -> None:
    """Equal state hashes mean equal moments; the reward that led there may differ."""
    seen: dict[str, Moment] = {}
    for moment in (moment for trace in traces for moment in trace):
        key = str(moment["state_hash"])
        name = difference(seen.setdefault(key, moment), moment, ignore=("reward",))
        require(name is None, "state hash", f"moments that differ in {name} share the hash {key}")


def check_ownership(bench: Bench, seeds: Sequence[int], alone: Traces) -> None:
    """Returned arrays are the caller's: later steps leave them, and writing into them changes nothing."""
    play = Playthrough(bench, seeds)
    kept: list[tuple[int, str, npt.NDArray[Any], bytes]] = []
    for time in range(1, len(alone[0])):
        kept += [(time - 1, name, array, array.tobytes()) for name, array in play.look.shared.items()]
        play.advance()
    for time, name, array, content in kept:
        require(
            array.tobytes() == content, "arrays belong to the caller", f"{name} of step {time} changed later"
        )
    play = Playthrough(bench, seeds)
    for _ in range(1, len(alone[0])):
        for array in play.look.shared.values():
            if array.flags.writeable:
                array.fill(1)
        play.advance()
    check_same("writing into a returned or given array changes nothing", alone, play.traces)


def check_wrong_actions(bench: Bench, seeds: Sequence[int], alone: Traces) -> None:
    """Every wrong action of the last game raises ActionError and leaves all games as they were."""
    play = Playthrough(bench, seeds)
    rng = np.random.default_rng(0)
    for time in range(len(alone[0]) - 1):
        if ended(play.traces[-1][-1]):
            break
        masks = [trace[-1].get("available_actions") for trace in play.traces]
        good = [draw_joint_action(mask, bench.spec, rng) for mask in masks]
        for what, agent, wrong in _wrong_actions(good, masks[-1], bench.spec):
            _provoke(bench, f"{what} at step {time}", agent, wrong)
        play.advance()
    check_same("a wrong action changes nothing", alone, play.traces)


def _wrong_actions(
    good: list[ActionArray], mask: npt.NDArray[Any] | None, spec: TeamSpec
) -> Iterator[tuple[str, int | None, list[ActionArray]]]:
    """What is wrong, which agent is at fault (None: all), and the joint action of every game."""
    discrete = spec.action_kind == "discrete"
    changes: dict[str, Callable[[ActionArray], Any]] = {
        "one agent too many": lambda action: np.concatenate([action, action[-1:]]),
        "one agent too few": lambda action: action[:-1],
        "an extra axis": lambda action: action[None],
        "the wrong type": lambda action: action.astype(np.float32 if discrete else np.int64),
    }
    for what, change in changes.items():
        yield what, None, [change(action) for action in good]
    for agent in range(spec.n_agents):
        values: list[float] = [np.nan, np.inf]
        if discrete:
            values = [-1, spec.action_size, *([] if mask is None else np.flatnonzero(~mask[agent]))]
        for value in values:
            wrong = good[-1].copy()
            wrong[agent] = value
            yield f"action {value} of agent {agent}", agent, [*good[:-1], wrong]


def _provoke(bench: Bench, what: str, agent: int | None, actions: list[ActionArray]) -> None:
    before = bench.hashes()
    try:
        bench.step(actions)
    except ActionError as error:
        named = agent is None or re.search(rf"\bagent {agent}\b", str(error))
        require(bool(named), "wrong actions", f"the error for {what} does not name agent {agent}: {error}")
    except Exception as error:
        detail = f"{what} raised {type(error).__name__}, expected ActionError"
        raise ConformanceError("wrong actions", detail) from error
    else:
        raise ConformanceError("wrong actions", f"{what} was accepted")
    require(bench.hashes() == before, "a wrong action changes nothing", f"a state hash changed by {what}")


def check_partial_reset(bench: Bench, seeds: Sequence[int], alone: Traces) -> None:
    """Resetting game 1 restarts it and leaves the others where they are."""
    steps = len(alone[0]) - 1
    pause = steps // 4
    play = Playthrough(bench, seeds).advance(pause)
    play.restart(1, seeds[0])
    for game, moment in enumerate(play.look.moments):
        expected = alone[0][0] if game == 1 else alone[game][pause]
        ignore = () if game == 1 else ("reward",)
        check_same("a partial reset leaves other games alone", [[expected]], [[moment]], ignore)
    play.advance(steps - pause)
    wanted = [alone[0] if game == 1 else trace for game, trace in enumerate(alone)]
    check_same("a partial reset leaves other games alone", wanted, play.traces)


def check_snapshots(worlds: Mapping[str, Bench], seeds: Sequence[int], start: int, length: int) -> bytes:
    """A snapshot of step `start` replays the episode exactly in each of these worlds; returns it.

    The reward shown by `restore` itself is not compared: it belongs to the step before.
    """
    bench = next(iter(worlds.values()))
    play = Playthrough(bench, seeds).advance(start)
    before = bench.hashes()
    snapshot = bench.env.snapshot()
    require(type(snapshot) is bytes, "types", f"a snapshot is {type(snapshot).__name__}, expected bytes")
    require(bench.hashes() == before, "snapshots replay", "taking one changed a state hash")
    play.advance(length - start)
    for name, world in worlds.items():
        restored = world.restore(snapshot).moments
        now = [[trace[start]] for trace in play.traces]
        check_same(f"snapshots replay in {name}", now, [[moment] for moment in restored], ignore=("reward",))
        later = [
            world.step([action.copy() for action in actions]).moments for actions in play.actions[start:]
        ]
        expected = [trace[start + 1 :] for trace in play.traces]
        check_same(
            f"snapshots replay in {name}", expected, [list(trace) for trace in zip(*later, strict=True)]
        )
    return snapshot


def check_refuses(bench: Bench, snapshot: bytes, foreign: bytes | None) -> None:
    """`restore` refuses snapshots of another world (default: a made-up one) and damaged ones."""
    other = dataclasses.replace(bench.spec, scenario="another-world-v1")
    refused = {
        "a foreign snapshot": foreign or pack("another world", other, {"state": np.zeros(1)}),
        "half a snapshot": snapshot[: len(snapshot) // 2],
    }
    before = bench.hashes()
    for what, content in refused.items():
        try:
            bench.env.restore(content)
        except (MismatchError, CorruptFileError):
            pass
        except Exception as error:
            detail = f"{what} raised {type(error).__name__}, expected MismatchError or CorruptFileError"
            raise ConformanceError("foreign snapshots", detail) from error
        else:
            raise ConformanceError("foreign snapshots", f"{what} was accepted")
        require(bench.hashes() == before, "foreign snapshots", f"{what} changed a state hash")


def check_close(env: DecentralizedEnv | VectorEnv) -> None:
    """`close` may be called twice."""
    try:
        env.close()
        env.close()
    except Exception as error:
        raise ConformanceError("close", f"raised {error!r}, but it is safe to call twice") from error
