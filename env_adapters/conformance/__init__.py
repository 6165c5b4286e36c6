"""Checks that a world keeps the contract of `env_adapters.api`; for authors of adapters.

    check_adapter(lambda: scenarios.make("3m"))
    check_vector_adapter(lambda n: scenarios.make_vector("3m", n), lambda: scenarios.make("3m"))

Comparisons are exact: what should be equal must agree in every bit. Beyond the signatures of the contract
two things are required: every `Step.info` has the same names, `steps` (int) among them; and equal state
hashes mean equal observations, state, step and end.

What cannot be seen from outside is not checked, such as a time limit that random play never reaches.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack

from env_adapters.api import DecentralizedEnv, VectorEnv
from env_adapters.conformance import behavior
from env_adapters.conformance.contract import check_batch_contract, check_contract
from env_adapters.conformance.playthrough import Bench, Moment, Playthrough, draw_joint_action
from env_adapters.conformance.violation import ConformanceError, require

__all__ = ["ConformanceError", "check_adapter", "check_vector_adapter", "draw_joint_action"]


def check_adapter(
    make: Callable[[], DecentralizedEnv],
    *,
    seeds: Sequence[int] = (1, 2),
    steps: int = 30,
    foreign: bytes | None = None,
) -> None:
    """Check one world; returns quietly when it keeps every rule.

    Args:
        make: builds a fresh, independent world.
        seeds: episode seeds to play, two or more.
        steps: how long to play where an episode need not be finished. That of the first seed is.
        foreign: a snapshot of another scenario, which must be refused; default: a made-up one.

    Raises:
        ConformanceError: the first rule that is broken.
        ValueError: fewer than two seeds.
    """
    _require_two(seeds)
    with ExitStack() as stack:
        env = stack.enter_context(make())
        bench, first = Bench(env), seeds[:1]
        for seed in seeds:
            check_contract(env, seed, steps)
        behavior.check_global_generators(bench, first, steps)
        length = env.spec.episode_limit + 2
        episode = Playthrough(bench, first).advance(length).traces[0]
        end = behavior.check_end(episode, env.spec)
        alone = _solo(bench, seeds, steps)
        fresh = [Bench(stack.enter_context(make())) for _ in seeds]
        behavior.check_repeats(bench, fresh, seeds, alone)
        behavior.check_hashes([episode, *alone])
        behavior.check_ownership(bench, first, alone[:1])
        behavior.check_wrong_actions(bench, first, alone[:1])
        for start in (end // 2, end):
            worlds = {"the same world": bench, "another world": fresh[0]}
            snapshot = behavior.check_snapshots(worlds, first, start, length)
            behavior.check_refuses(bench, snapshot, foreign)
        behavior.check_close(env)


def check_vector_adapter(
    make_vector: Callable[[int], VectorEnv],
    make_single: Callable[[], DecentralizedEnv],
    *,
    seeds: Sequence[int] = (1, 2, 3),
    steps: int = 30,
) -> None:
    """Check a batch of worlds against the single world, which must itself pass `check_adapter`.

    Args:
        make_vector: builds a fresh batch of that many games.
        make_single: builds one world of the same scenario.
        seeds: episode seeds, one game each, two or more.
        steps: how long to play.

    Raises:
        ConformanceError: the first rule that is broken.
        ValueError: fewer than two seeds.
    """
    _require_two(seeds)
    with ExitStack() as stack:
        single = Bench(stack.enter_context(make_single()))
        env = stack.enter_context(make_vector(len(seeds)))
        batch = Bench(env)
        other, larger, one = (
            Bench(stack.enter_context(make_vector(n))) for n in (len(seeds), len(seeds) + 1, 1)
        )
        require(
            batch.spec == single.spec, "spec", f"of the batch is {batch.spec}, of one world {single.spec}"
        )
        check_batch_contract(env, seeds)
        alone = _solo(single, seeds, steps)
        orders = {
            "games do not depend on their neighbours": (batch, range(len(seeds))),
            "games do not depend on their position": (larger, [*reversed(range(len(seeds))), 0]),
            "games do not depend on the batch size": (one, [0]),
        }
        for rule, (bench, order) in orders.items():
            play = Playthrough(bench, [seeds[i] for i in order]).advance(steps)
            behavior.check_same(rule, [alone[i] for i in order], play.traces)
        behavior.check_global_generators(batch, seeds, steps)
        behavior.check_partial_reset(batch, seeds, alone)
        behavior.check_ownership(batch, seeds, alone)
        behavior.check_wrong_actions(batch, seeds, alone)
        worlds = {"the same batch": batch, "another batch": other}
        snapshot = behavior.check_snapshots(worlds, seeds, steps // 4, steps)
        behavior.check_refuses(batch, snapshot, larger.env.snapshot())
        behavior.check_close(env)


def _require_two(seeds: Sequence[int]) -> None:
    if len(seeds) < 2:
        raise ValueError(f"a conformance check needs two episode seeds or more, not {len(seeds)}")


def _solo(bench: Bench, seeds: Sequence[int], steps: int) -> list[list[Moment]]:
    """[B][T + 1], the moments of each seed played alone."""
    return [Playthrough(bench, [seed]).advance(steps).traces[0] for seed in seeds]
