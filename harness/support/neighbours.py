"""The dataset's nearest observations: exact k nearest neighbours of each agent's view, and of all views together.

A view is only compared with views of the same agent (the networks share parameters, but see the agent's index).
Distances are Euclidean in units of each feature's standard deviation over the dataset, per agent; features that
never change are left out. The squared joint distance is therefore the sum of the agents' squared distances.

Every pair is looked at, in blocks: a matrix product in single precision gives a lower bound of the squared
distance, and the few pairs that it cannot rule out are computed again in double precision. Nothing is approximate.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from datasets.schema import Dataset
from env_adapters.api import BoolArray, DoubleArray, FloatArray, IntArray
from env_adapters.errors import InvalidValueError

_ROWS = 4096
"""Transitions that are looked at together."""
_QUERIES = 256
"""Situations that are looked at together: with `_ROWS`, 4 MiB of distances."""
_PAIRS = 20_000
"""Pairs whose distances are computed exactly together."""
_MOMENTS = 20_000
"""Moments that are read together for the scale."""


class Scale(NamedTuple):
    """Units in which observations are compared."""

    mean: DoubleArray
    """[N, D]"""
    inverse: DoubleArray
    """[N, D], one over the standard deviation; 0 for a feature that never changes."""

    @property
    def n_features(self) -> IntArray:
        """[N], features that count; at least 1 so that one can divide by it."""
        return np.asarray(np.maximum(np.count_nonzero(self.inverse, axis=1), 1), dtype=np.int64)

    @staticmethod
    def of(dataset: Dataset) -> Scale:
        """Mean and standard deviation over all moments of a dataset, in two passes."""
        observations = dataset.observations
        blocks = [slice(low, low + _MOMENTS) for low in range(0, len(observations), _MOMENTS)]
        shape = observations.shape[1:]
        total, squares = np.zeros(shape), np.zeros(shape)
        lowest, highest = np.full(shape, np.inf), np.full(shape, -np.inf)
        for block in blocks:
            part = observations[block]
            total += part.sum(axis=0, dtype=np.float64)
            lowest, highest = np.minimum(lowest, part.min(axis=0)), np.maximum(highest, part.max(axis=0))
        mean = total / len(observations)
        for block in blocks:
            squares += ((observations[block] - mean) ** 2).sum(axis=0)
        std = np.sqrt(squares / len(observations))
        moves = highest > lowest  # a sum of equal numbers may be off by its last bit
        return Scale(mean, np.divide(1.0, std, out=np.zeros(shape), where=moves))


@dataclass(frozen=True)
class Neighbours:
    """The k nearest transitions of M situations, nearest first; index N of the first axis is the whole team."""

    rows: IntArray
    """[N + 1, M, k], transitions of the dataset."""
    squared: DoubleArray
    """[N + 1, M, k], squared distances."""


class _Side(NamedTuple):
    """Observations ready to be multiplied."""

    raw: FloatArray
    """[R, N, D]"""
    factors: FloatArray
    """[N, R, D + 2]"""


def _side(raw: FloatArray, scale: Scale, is_query: bool) -> _Side:
    """Factors whose products are at most the squared distance, whatever single precision does to them.

    A product of n terms is off by at most n u times the sum of their magnitudes (N. Higham, "Accuracy and Stability
    of Numerical Algorithms", 2nd edition, section 3.1), here 2 (|x|² + |y|²) with u = eps / 2; taken twice.
    """
    scaled = ((raw - scale.mean) * scale.inverse).swapaxes(0, 1)
    slack = 2.0 * (scaled.shape[-1] + 4 + len(scaled)) * float(np.finfo(np.float32).eps)
    norms = (scaled**2).sum(axis=-1, keepdims=True) * (1.0 - slack)
    ones = np.ones_like(norms)
    parts = [-2.0 * scaled, norms, ones] if is_query else [scaled, ones, norms]
    return _Side(raw, np.concatenate(parts, axis=-1).astype(np.float32))


class _Search:
    """Who is nearest so far."""

    def __init__(self, queries: FloatArray, scale: Scale, wanted: BoolArray, k: int) -> None:
        self.scale, self.k = scale, k
        self.queries = _side(queries, scale, is_query=True)
        shape = (queries.shape[1] + 1, len(queries), k)
        self.squared = np.full(shape, np.inf)
        self.squared[~wanted] = -np.inf  # nothing can be nearer
        self.places = np.full(shape, -1, dtype=np.int64)

    def exact(self, kind: int, query: IntArray, column: IntArray, rows: FloatArray) -> DoubleArray:
        """Squared distances of pairs."""
        n_agents = len(self.scale.mean)
        agents = slice(None) if kind == n_agents else slice(kind, kind + 1)
        found = np.empty(len(query))
        for low in range(0, len(query), _PAIRS):
            pairs = slice(low, low + _PAIRS)
            ours = self.queries.raw[query[pairs], agents].astype(np.float64)
            away = (ours - rows[column[pairs], agents]) * self.scale.inverse[agents]
            found[pairs] = (away**2).sum(axis=(1, 2))
        return found

    def look(self, block: _Side, first: int, same: tuple[IntArray, IntArray]) -> None:
        """Take in the rows at places `first` and on; pairs (query, column) in `same` are not compared."""
        n_agents, n_rows = len(self.scale.mean), len(block.raw)
        for low in range(0, len(self.queries.raw), _QUERIES):
            factors = self.queries.factors[:, low : low + _QUERIES]
            inside = (same[0] >= low) & (same[0] < low + _QUERIES)
            barred = (same[0][inside] - low, same[1][inside])
            together = np.zeros((factors.shape[1], n_rows), dtype=np.float32)
            for agent in range(n_agents):
                bound = factors[agent] @ block.factors[agent].T
                bound[barred] = np.inf
                together += bound
                self._merge(agent, low, bound, block.raw, first)
            self._merge(n_agents, low, together, block.raw, first)

    def _merge(self, kind: int, low: int, bound: FloatArray, rows: FloatArray, first: int) -> None:
        """Let the rows of a block in where they are nearer than the farthest so far; may overwrite `bound`."""
        n_queries, n_rows = bound.shape
        farthest = self.squared[kind, low : low + n_queries, -1]
        fresh = np.flatnonzero(np.isposinf(farthest))
        if len(fresh):  # any k rows give a first limit; take those that look nearest
            some = min(self.k, n_rows)
            column = np.argpartition(bound[fresh], some - 1, axis=1)[:, :some].ravel()
            query = np.repeat(fresh, some)
            allowed = np.isfinite(bound[query, column])
            query, column = query[allowed], column[allowed]
            bound[query, column] = np.inf
            self._insert(kind, low + query, column, rows, first)
        # A row at distance 0 of each neighbour cannot be beaten; single precision must not round a limit down.
        limit = np.where(farthest > 0.0, farthest * (1.0 + 1e-6), -np.inf).astype(np.float32)
        limit = np.where(np.isposinf(farthest), np.finfo(np.float32).max, limit)
        hits = np.flatnonzero(bound < limit[:, None])
        if len(hits):
            self._insert(kind, low + hits // n_rows, hits % n_rows, rows, first)

    def _insert(self, kind: int, query: IntArray, column: IntArray, rows: FloatArray, first: int) -> None:
        distances = self.exact(kind, query, column, rows)
        touched = np.unique(query)
        queries = np.concatenate([np.repeat(touched, self.k), query])
        squared = np.concatenate([self.squared[kind, touched].ravel(), distances])
        places = np.concatenate([self.places[kind, touched].ravel(), first + column])
        order = np.lexsort((places, squared, queries))
        starts = np.searchsorted(queries[order], touched)
        best = order[starts[:, None] + np.arange(self.k)]
        self.squared[kind, touched], self.places[kind, touched] = squared[best], places[best]


def _own_pairs(dataset: Dataset, episodes: IntArray, places: IntArray) -> tuple[IntArray, IntArray]:
    """(place, query) for every place of a query's own episode that is searched, by place."""
    offsets = dataset.episode_offsets
    lengths = (offsets[1:] - offsets[:-1])[episodes]
    query = np.repeat(np.arange(len(episodes)), lengths)
    within = np.arange(len(query)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    place = places[np.repeat(offsets[episodes], lengths) + within]
    order = np.argsort(place, kind="stable")
    order = order[np.searchsorted(place[order], 0) :]  # what is not searched has place -1
    return place[order], query[order]


def find_neighbours(
    dataset: Dataset,
    scale: Scale,
    observations: FloatArray,
    episodes: IntArray | None,
    wanted: BoolArray,
    k: int,
    order: IntArray,
) -> Neighbours:
    """Search the dataset for the k transitions whose observations are nearest.

    Args:
        dataset: where to search.
        scale: `Scale.of(dataset)`.
        observations: [M, N, D], the situations.
        episodes: [M], the episode of the dataset that each situation is from, whose transitions do not count; None
            where they are from elsewhere.
        wanted: bool[N + 1, M], which agents' neighbours (last: the team's) are of interest; the others are meaningless.
        k: how many.
        order: transitions to search, in the order in which equally near ones are preferred; a random order makes
            those a fair sample.

    Returns:
        Rows and squared distances, nearest first.

    Raises:
        InvalidValueError: fewer than k transitions can be neighbours of some situation.
    """
    places = np.full(dataset.n_transitions, -1, dtype=np.int64)
    places[order] = np.arange(len(order))
    nothing = np.zeros(0, dtype=np.int64)
    own = (nothing, nothing) if episodes is None else _own_pairs(dataset, episodes, places)
    most = int(np.bincount(own[1]).max()) if len(own[1]) else 0
    if len(order) - most < k:
        raise InvalidValueError(
            f"--neighbours is {k}, but only {len(order) - most} transitions of the dataset lie outside the episode of a "
            "situation; give fewer, or a larger dataset"
        )
    episode = np.searchsorted(dataset.episode_offsets, order, side="right") - 1
    moments = order + episode
    search = _Search(observations, scale, wanted, k)
    for first in range(0, len(order), _ROWS):
        block = _side(dataset.observations[moments[first : first + _ROWS]], scale, is_query=False)
        low, high = np.searchsorted(own[0], [first, first + _ROWS])
        search.look(block, first, (own[1][low:high], own[0][low:high] - first))
    return Neighbours(order[search.places], search.squared)
