"""`harness bench NAME`: measure the project itself. Benchmarks live in their own package, above this one."""

from __future__ import annotations

import importlib
import json
from dataclasses import dataclass
from typing import Any

from env_adapters.errors import InvalidValueError, UsageError, unknown_name
from harness.commands.parsing import parse, say
from harness.passport import load_average, passport
from harness.tables import render

_BENCHMARKS = {
    "engine": "speed, memory and start of the embedded StarCraft engine",
    "mujoco": "speed of the robots, of their evaluation and of their films, against their peers",
    "flavours": "the score of one policy in every flavour of a robot",
    "fidelity": "the embedded StarCraft engine against what is known of the real game",
    "overhead": "what the harness itself takes per step, in one process and with one per agent",
    "latency": "what an action of the shipped policies takes, in one call and with a process per agent",
    "references": "the returns that normalised scores count as 0 and as 100",
    "train": "the training step, against its own matrix products and its peers; several seeds at once",
    "act": "one action of the offline agents, against plain NumPy and each other",
    "batches": "drawing batches from a dataset, opening it, and memory",
    "statistics": "speed of bootstrap intervals and sequential rules, against their peers",
    "recipes": "datasets made by recipe against the published ones they are made after",
}
"""Name, which is that of a module of `benchmarks` -> what it measures."""


@dataclass(frozen=True)
class Report:
    """What a benchmark hands back: its module has `Config` and `run(config, say) -> Report`."""

    benchmark: str
    """Name on the command line."""
    quick: bool
    """Whether it was cut short: a check that everything runs, no result to quote."""
    headers: tuple[str, ...]
    cells: list[tuple[object, ...]]
    """The table, one tuple per row."""
    rows: list[dict[str, Any]]
    """The same rows in full, as JSON values."""
    notes: list[str]
    """One line each: what is included, what could not be measured and how to get it."""

    def data(self, machine: dict[str, Any]) -> dict[str, Any]:
        """The report as one JSON object, with the machine it was made on."""
        return {
            "benchmark": self.benchmark,
            "quick": self.quick,
            "rows": self.rows,
            "notes": self.notes,
            "passport": machine,
        }


def main(arguments: list[str]) -> int:
    """Run the command; returns 0 whatever the verdicts.

    Raises:
        UsageError: no benchmark named.
        UnknownNameError: no such benchmark.
        HarnessError: as the benchmark raises it.
    """
    if not arguments:
        raise UsageError(f"harness bench: name a benchmark: {', '.join(_BENCHMARKS)}")
    name, rest = arguments[0], arguments[1:]
    if name in ("-h", "--help"):
        print(_help())
        return 0
    if name not in _BENCHMARKS:
        raise unknown_name("benchmark", name, _BENCHMARKS, "harness bench --help")
    module: Any = importlib.import_module(f"benchmarks.{name}")
    config = parse(module.Config, rest, f"bench {name}")
    if getattr(config, "maps", None) == ():
        raise InvalidValueError("--maps names no map; give some, or leave it out")
    machine = passport()
    report: Report = module.run(config, say)
    machine["load_average_at_end"] = load_average()
    print(json.dumps(report.data(machine), indent=1) if config.json else _text(report, machine))
    return 0


def _help() -> str:
    width = max(map(len, _BENCHMARKS))
    lines = [f"  {name:{width}}  {summary}" for name, summary in _BENCHMARKS.items()]
    usage = "usage: harness bench NAME [--json] [--quick]      harness bench NAME --help"
    return "\n".join([usage, "", *lines])


def _text(report: Report, machine: dict[str, Any]) -> str:
    """Table, remarks and machine."""
    packages = machine["packages"]
    loads = [machine[name] for name in ("load_average", "load_average_at_end")]
    about = [
        f"machine: {machine['cpu']}, {machine['usable_cores']} of {machine['cores']} cores usable",
        "load average: " + " -> ".join("unknown" if load is None else f"{load:.1f}" for load in loads),
        f"{machine['project']} {machine['version']}, {machine['python']}, "
        + ", ".join(f"{name} {packages[name]}" for name in ("numba", "numpy") if name in packages),
    ]
    cut = ["QUICK: this shows that everything runs; its numbers are not results"] if report.quick else []
    return "\n".join([render(report.headers, report.cells), "", *cut, *report.notes, *about])
