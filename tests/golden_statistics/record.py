"""Record rliable's answers; runs in an environment of its own, see README.md."""

import importlib.metadata
import json
from pathlib import Path

import numpy as np
from rliable import library, metrics

SHAPES = [(5, 10, "gamma"), (6, 27, "normal"), (3, 1, "normal"), (10, 3, "wins"), (1, 4, "gamma"), (2, 2, "wins"), (32, 1, "gamma")]  # fmt: skip
TAUS = np.array([-0.5, 0.0, 0.25, 0.5, 0.75, 1.0, 1.5, 3.0])
NAMES = ("mean", "median", "iqm", "optimality_gap")
PACKAGES = ("rliable", "arch", "numpy", "scipy", "pandas")


def draw(seed, n_runs, n_tasks, kind):
    rng = np.random.default_rng(seed)
    if kind == "wins":
        return np.round(rng.binomial(32, 0.7, size=(n_runs, n_tasks)) / 32, 6)
    draws = {
        "gamma": lambda size: rng.gamma(2.0, 0.3, size),
        "normal": lambda size: rng.normal(0.6, 0.4, size),
    }
    return np.round(draws[kind]((n_runs, n_tasks)), 6)


def aggregates(x):
    return np.array([getattr(metrics, f"aggregate_{name}")(x) for name in NAMES])


def intervals(x, y, n_resamples):
    _, found = library.get_interval_estimates({"x": x}, aggregates, reps=n_resamples)
    bounds = dict(zip(NAMES, found["x"].T.tolist(), strict=True))
    if len(y) > 1:
        _, found = library.get_interval_estimates(
            {"xy": (x, y)}, lambda a, b: np.array([metrics.probability_of_improvement(a, b)]), reps=2000
        )
        bounds["probability_of_improvement"] = found["xy"][:, 0].tolist()
    return bounds


def record(seed, n_runs, n_tasks, kind):
    x, y = draw(seed, n_runs, n_tasks, kind), draw(seed + 100, max(1, n_runs - 1), n_tasks, kind)
    np.random.seed(seed)  # noqa: NPY002  rliable draws from the global generator
    case = {"x": x.tolist(), "y": y.tolist(), "taus": TAUS.tolist()}
    case |= dict(zip(NAMES, aggregates(x).tolist(), strict=True))
    case["optimality_gap_2"] = float(metrics.aggregate_optimality_gap(x, gamma=0.5))
    case["probability_of_improvement"] = float(metrics.probability_of_improvement(x, y))
    case["profile"] = library.score_distributions(x, TAUS).tolist()
    if n_runs > 1:
        case["resamples"] = 50_000 if seed < 2 else 20_000
        case["interval"] = intervals(x, y, case["resamples"])
        _, bands = library.create_performance_profile({"x": x}, TAUS, reps=5000)
        case["profile_lower"], case["profile_upper"] = bands["x"].tolist()
    return case


cases = [record(seed, *shape) for seed, shape in enumerate(SHAPES)]
versions = {name: importlib.metadata.version(name) for name in PACKAGES}
text = json.dumps({"versions": versions, "cases": cases}) + "\n"
Path(__file__).with_name("rliable.json").write_text(text)
