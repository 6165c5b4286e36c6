"""The house rules that no single room can check: who imports whom, and what may not be written anywhere."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import datasets

PROJECT = Path(__file__).resolve().parents[1]
BELOW = {
    "env_adapters": set[str](),
    "datasets": {"env_adapters"},
    "agents": {"env_adapters", "datasets"},
    "videos": {"env_adapters", "datasets"},
    "harness": {"env_adapters", "datasets", "agents", "videos"},
    "benchmarks": {"env_adapters", "datasets", "agents", "videos", "harness"},
}
"""Room -> the rooms it may import besides itself."""
FILES = sorted(path for room in BELOW for path in (PROJECT / room).rglob("*.py"))
Findings = Iterator[tuple[int, str]]
Function = ast.FunctionDef | ast.AsyncFunctionDef


def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def imported_modules(node: ast.AST, package: str) -> list[str]:
    """Absolute names of what an import statement imports; `package` is where relative imports start."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        start = ".".join(package.split(".")[: len(package.split(".")) - node.level + 1]) if node.level else ""
        return [".".join(part for part in (start, node.module) if part)]
    if isinstance(node, ast.Call) and dotted(node.func) in ("importlib.import_module", "__import__"):
        first = node.args[0]
        return [first.value] if isinstance(first, ast.Constant) else []
    return []


def dotted(node: ast.AST) -> str:
    """`a.b.c` for an attribute chain, "" for anything else."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        left = dotted(node.value)
        return f"{left}.{node.attr}" if left else ""
    return ""


def upward_imports(module: ast.Module, room: str, package: str) -> Findings:
    """Imports of a room that lies above or beside, at module level or inside functions."""
    for node in ast.walk(module):
        for name in imported_modules(node, package):
            other = name.split(".")[0]
            if other in BELOW and other != room and other not in BELOW[room]:
                yield getattr(node, "lineno", 0), f"{room} imports {name}"


def registered_targets(module: ast.Module) -> list[str]:
    """Strings like `module:attribute`, which tables use to import lazily."""
    constants = [node.value for node in ast.walk(module) if isinstance(node, ast.Constant)]
    strings = [text for text in constants if isinstance(text, str) and text.count(":") == 1]
    return [text for text in strings if text.split(":")[0].split(".")[0] in BELOW and " " not in text]


UNSAFE = {"pickle", "cPickle", "cloudpickle", "dill", "joblib", "shelve", "marshal"}
GLOBAL_GENERATOR = re.compile(
    r"random\.(?!getstate$).+"
    r"|(np|numpy)\.random\.(?!(default_rng|Generator|Philox|SeedSequence|get_state)$).+"
    r"|torch\.(seed|manual_seed|cuda\.manual_seed(_all)?)"
)
"""Names that draw from, or seed, a generator that the whole process shares; looking at its state is allowed."""
TORCH_DRAWS = re.compile(
    r"torch\.(rand|randn|randint|randperm|normal|bernoulli|multinomial|rand_like|randn_like)"
    r"|(torch\.)?nn\.(Linear|Conv\dd|Embedding|init\..+)"
    r"|.*\.(normal_|uniform_|random_|exponential_)|.*distribution\.r?sample"
)
"""Calls that draw from torch's shared generator unless they are given one."""


def unpickling(module: ast.Module) -> Findings:
    """Whatever could execute code that a file contains."""
    for node in ast.walk(module):
        for name in imported_modules(node, ""):
            if name.split(".")[0] in UNSAFE:
                yield getattr(node, "lineno", 0), f"import {name}"
        if isinstance(node, ast.Call):
            if dotted(node.func) in ("torch.load", "torch.jit.load", "eval", "exec", "pd.read_pickle"):
                yield node.lineno, dotted(node.func)
            for keyword in node.keywords:
                if keyword.arg == "allow_pickle" and not is_constant(keyword.value, False):
                    yield node.lineno, "allow_pickle"


def is_constant(node: ast.AST, value: object) -> bool:
    return isinstance(node, ast.Constant) and node.value is value


def given(call: ast.Call) -> bool:
    return any(keyword.arg == "generator" for keyword in call.keywords)


def global_randomness(module: ast.Module) -> Findings:
    """Results must depend on explicit seeds alone."""
    for node in ast.walk(module):
        line, name = getattr(node, "lineno", 0), dotted(node)
        if isinstance(node, ast.ImportFrom) and node.module in ("random", "numpy.random"):
            yield line, f"from {node.module} import ..."
        elif GLOBAL_GENERATOR.fullmatch(name):
            yield line, name
        elif isinstance(node, ast.Call) and TORCH_DRAWS.fullmatch(dotted(node.func)) and not given(node):
            yield line, f"{dotted(node.func)} without generator"


def public_definitions(module: ast.Module) -> Iterator[Function | ast.ClassDef]:
    """Functions and classes at module level, and methods of those classes, without leading underscore."""

    def inside(body: list[ast.stmt]) -> Iterator[Function | ast.ClassDef]:
        for node in body:
            if isinstance(node, Function | ast.ClassDef) and not node.name.startswith("_"):
                yield node
                if isinstance(node, ast.ClassDef):
                    yield from inside(node.body)
            elif isinstance(node, ast.If | ast.Try):
                yield from inside(node.body)

    return inside(module.body)


def is_overload(node: ast.AST) -> bool:
    decorators = getattr(node, "decorator_list", [])
    return any(dotted(decorator).split(".")[-1] == "overload" for decorator in decorators)


def missing_documentation(module: ast.Module) -> Findings:
    if ast.get_docstring(module) is None and module.body:
        yield 1, "module without docstring"
    for node in public_definitions(module):
        if ast.get_docstring(node) is None and not is_overload(node):
            yield node.lineno, f"{node.name} without docstring"


def missing_annotations(module: ast.Module) -> Findings:
    for node in ast.walk(module):
        if not isinstance(node, Function):
            continue
        arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
        arguments += [extra for extra in (node.args.vararg, node.args.kwarg) if extra is not None]
        for argument in arguments:
            if argument.annotation is None and argument.arg not in ("self", "cls"):
                yield node.lineno, f"{node.name}: {argument.arg} without type"
        if node.returns is None:
            yield node.lineno, f"{node.name} without return type"


def long_functions(module: ast.Module) -> Findings:
    for node in ast.walk(module):
        length = (getattr(node, "end_lineno", 0) or 0) - getattr(node, "lineno", 0) + 1
        if isinstance(node, Function) and length > 60:
            yield node.lineno, f"{node.name} has {length} lines"


def check_rule(rule: Callable[[ast.Module], Findings]) -> None:
    found = [
        f"{path.relative_to(PROJECT)}:{line} {what}" for path in FILES for line, what in rule(tree(path))
    ]
    assert not found, "\n".join(found)


def test_every_room_is_looked_at() -> None:
    assert {path.relative_to(PROJECT).parts[0] for path in FILES} == set(BELOW)
    assert len(FILES) > 60


def test_rooms_import_downwards_only() -> None:
    found = []
    for path in FILES:
        place = path.relative_to(PROJECT)
        package = ".".join(place.parts[:-1])
        found += [
            f"{place}:{line} {what}" for line, what in upward_imports(tree(path), place.parts[0], package)
        ]
    assert not found, "\n".join(found)


def test_lazy_tables_point_downwards_at_things_that_exist() -> None:
    import importlib

    targets = [(path, target) for path in FILES for target in registered_targets(tree(path))]
    assert len(targets) >= 6, "scenarios and agents are registered this way"
    for path, target in targets:
        room, (module, attribute) = path.relative_to(PROJECT).parts[0], target.split(":")
        assert module.split(".")[0] in {room, *BELOW[room]}, f"{path}: {target}"
        assert hasattr(importlib.import_module(module), attribute), target


@pytest.mark.parametrize(
    ("room", "source", "caught"),
    [
        ("env_adapters", "import datasets", True),
        ("env_adapters", "def f():\n    from agents.api import Agent", True),
        ("env_adapters", "import importlib\nimportlib.import_module('harness.cli')", True),
        ("agents", "from videos import encode", True),
        ("videos", "if True:\n    import agents.bc as bc", True),
        ("datasets", "from . import schema\nfrom .formats import native", False),
        ("harness", "from agents import api\nimport videos.encode, datasets", False),
        ("agents", "from agents.api import Agent\nfrom env_adapters import api\nimport torch", False),
    ],
)
def test_the_import_rule_catches_planted_imports(room: str, source: str, caught: bool) -> None:
    assert bool(list(upward_imports(ast.parse(source), room, room))) is caught


@pytest.mark.parametrize(
    "rule", [unpickling, global_randomness, missing_documentation, missing_annotations, long_functions]
)
def test_rules_of_the_house(rule: Callable[[ast.Module], Findings]) -> None:
    check_rule(rule)


@pytest.mark.parametrize(
    ("rule", "source"),
    [
        (unpickling, "import pickle"),
        (unpickling, "def f():\n    from pickle import loads"),
        (unpickling, "torch.load('x')"),
        (unpickling, "np.load('x', allow_pickle=True)"),
        (unpickling, "np.load('x', allow_pickle=flag)"),
        (global_randomness, "import random\nrandom.seed(0)"),
        (global_randomness, "from random import choice"),
        (global_randomness, "np.random.seed(0)"),
        (global_randomness, "x = np.random.rand(3)"),
        (global_randomness, "draw = numpy.random.normal"),
        (global_randomness, "torch.manual_seed(0)"),
        (global_randomness, "torch.rand(3)"),
        (global_randomness, "weights.normal_(0.0, 1.0)"),
        (global_randomness, "torch.nn.Linear(3, 4)"),
        (global_randomness, "actions = distribution.sample()"),
        (missing_documentation, '"""Doc."""\ndef f() -> None: ...'),
        (missing_documentation, '"""Doc."""\nclass A:\n    """Doc."""\n    def f(self) -> None: ...'),
        (missing_documentation, "x = 1"),
        (missing_annotations, "def _f(a) -> None: ..."),
        (missing_annotations, "def f(*a: int, **b) -> None: ..."),
        (missing_annotations, "class A:\n    def f(self): ..."),
        (long_functions, "def f():\n" + "    x = 1\n" * 60),
    ],
)
def test_the_rules_catch_planted_violations(rule: Callable[[ast.Module], Findings], source: str) -> None:
    assert list(rule(ast.parse(source)))


@pytest.mark.parametrize(
    ("rule", "source"),
    [
        (unpickling, "np.load('x', allow_pickle=False)"),
        (global_randomness, "rng = np.random.default_rng(0)\nrng.random()\ntorch.Generator().manual_seed(1)"),
        (global_randomness, "torch.rand(3, generator=g)"),
        (missing_documentation, '"""Doc."""\nclass _A:\n    def f(self) -> None: ...'),
        (long_functions, "def f():\n" + "    x = 1\n" * 59),
    ],
)
def test_the_rules_let_good_code_pass(rule: Callable[[ast.Module], Findings], source: str) -> None:
    assert not list(rule(ast.parse(source)))


def test_no_file_is_longer_than_three_hundred_lines() -> None:
    lengths = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in FILES}
    assert not {str(path): n for path, n in lengths.items() if n > 300}


def test_our_packages_win_over_their_namesakes() -> None:
    import agents

    assert Path(datasets.__file__).parent == PROJECT / "datasets"
    assert Path(agents.__file__).parent == PROJECT / "agents"


def run_python(code: str) -> list[str]:
    answer = subprocess.run(
        [sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True, check=True
    )
    return answer.stdout.splitlines()


HEAVY = ("torch", "numba", "numpy", "pandas", "h5py", "mujoco", "tyro", "rich", "imageio")


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["evaluat"]])
def test_help_and_typing_errors_import_nothing_heavy(arguments: list[str]) -> None:
    said = run_python(
        "import sys; from harness.cli import run\n"
        f"try: run({arguments})\n"
        "except Exception as error: print(error)\n"
        f"print('loaded:', *(name for name in {HEAVY} if name in sys.modules))"
    )
    assert len(said) > 1 and said[-1] == "loaded:"


@pytest.mark.parametrize(
    "module",
    ["env_adapters.scenarios", "env_adapters.starcraft.smac", "datasets.collect", "videos.starcraft"],
)
def test_worlds_datasets_and_films_need_no_torch(module: str) -> None:
    assert run_python(f"import sys, {module}; print('torch' in sys.modules)") == ["False"]


def test_data_files_travel_with_the_packages() -> None:
    """A wheel holds every file of the packages that is not Python."""
    patterns = tomllib.loads((PROJECT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]
    packed = {
        path
        for package, globs in patterns.items()
        for glob in globs
        for path in (PROJECT / package).glob(glob)
    }
    rooms = [
        PROJECT / room for room in ("env_adapters", "datasets", "agents", "videos", "harness", "benchmarks")
    ]
    others = {
        path
        for room in rooms
        for path in room.rglob("*")
        if path.is_file() and path.suffix not in (".py", ".pyc") and "__pycache__" not in path.parts
    }
    assert others <= packed, f"not in the wheel: {sorted(map(str, others - packed))}"
