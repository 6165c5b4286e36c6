"""Code that users bring as agents: how it is found, asked, and refused."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from agents.policies import PolicyTeam, checked_action, load_code
from env_adapters.api import AgentView, TeamSpec
from env_adapters.errors import ActionError, AgentError, InvalidValueError, UnknownNameError
from harness.team import TeamSource, load_team

SPEC = TeamSpec("toy-v1", "toy", "test/1", 2, 3, 4, "discrete", 5, 6, False)
TORQUES = TeamSpec("toy-v1", "toy", "test/1", 2, 3, 4, "continuous", 2, 6, False)
GOOD = """
class Steady:
    def act(self, view, memory, rng):
        return 1, memory
def make(spec, agent_index):
    return Steady()
"""


def write(folder: Path, text: str, name: str = "mine.py") -> str:
    (folder / name).write_text(text)
    return f"{folder / name}:make"


class Acts:
    """A policy that does what it is told, and keeps what it was handed."""

    def __init__(self, answer: Any) -> None:
        self.answer, self.views, self.memories = answer, list[AgentView](), list[Any]()

    def act(self, view: AgentView, memory: Any, rng: np.random.Generator) -> tuple[Any, Any]:
        self.views.append(view)
        self.memories.append(memory)
        answer = self.answer(view, memory, rng) if callable(self.answer) else self.answer
        return answer, (0 if memory is None else memory) + 1


def team_of(answer: Any, spec: TeamSpec = SPEC, n_games: int = 1) -> tuple[PolicyTeam, Acts]:
    policy = Acts(answer)
    team = PolicyTeam([policy] * spec.n_agents, spec, n_games)
    team.begin(np.arange(n_games), np.arange(n_games))
    return team, policy


def moment(n_games: int = 1) -> tuple[np.ndarray, np.ndarray]:
    size = n_games * 6
    observations = np.arange(size, dtype=np.float32).reshape(n_games, 2, 3)
    return observations, np.ones((n_games, 2, 5), dtype=np.bool_)


def test_a_file_becomes_a_team(tmp_path: Path) -> None:
    team = load_team("toy", SPEC, TeamSource(agent=write(tmp_path, GOOD)))
    assert (team.name, team.algorithm, team.is_default_mode) == ("mine.py:make", "code", True)
    policy = team.vector(3)
    policy.begin(np.arange(3), np.arange(3))
    np.testing.assert_array_equal(policy.act(*moment(3)), np.ones((3, 2)))
    assert team.policy(1).act(AgentView(np.zeros(3), None, 1, 0), None, np.random.default_rng(0))[0] == 1


def test_the_hash_names_source_and_callable(tmp_path: Path) -> None:
    text = GOOD + "\nother = make\n"
    first = load_code(write(tmp_path, text))
    assert load_code(str(tmp_path / "mine.py") + ":other").code_hash != first.code_hash
    assert load_code(write(tmp_path, text)).code_hash == first.code_hash
    assert load_code(write(tmp_path, text + "#")).code_hash != first.code_hash


def test_a_file_may_use_its_neighbours_and_dataclasses(tmp_path: Path) -> None:
    (tmp_path / "my_private_net.py").write_text("ACTION = 3")
    text = "from __future__ import annotations\nfrom dataclasses import dataclass\nimport my_private_net\n"
    text += "@dataclass\nclass P:\n    n: int\n    def act(self, view, memory, rng):\n"
    text += "        return my_private_net.ACTION, None\ndef make(spec, i): return P(i)\n"
    team = load_team("toy", SPEC, TeamSource(agent=write(tmp_path, text)))
    policy = team.vector(1)
    policy.begin(np.arange(1), np.arange(1))
    assert (policy.act(*moment()) == 3).all()


@pytest.mark.parametrize(
    ("reference", "words"),
    [
        ("no/such/file.py:make", "there is no file no/such/file.py"),
        ("no_such_module_at_all:make", "there is no module no_such_module_at_all"),
        ("json.nothing_here:make", "there is no module json.nothing_here"),
        ("json:make", "json has no callable 'make'; write def make"),
        ("json:__name__", "has no callable '__name__'"),
        (":make", "names no code"),
        ("json:", "names no code"),
    ],
)
def test_code_that_is_not_there(reference: str, words: str) -> None:
    with pytest.raises(UnknownNameError, match=words):
        load_code(reference)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("def make(:", "cannot be imported: SyntaxError"),
        ("1 / 0", "cannot be imported: ZeroDivisionError: division by zero"),
        ("import sys; sys.exit(0)", "cannot be imported: SystemExit: 0"),
        (
            "import no_such_package_at_all",
            "cannot be imported: ModuleNotFoundError: .*no_such_package_at_all",
        ),
    ],
)
def test_code_that_fails_when_imported(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(AgentError, match=words):
        load_code(write(tmp_path, text))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("def make(): pass", "cannot be made for agent 0 of toy-v1: TypeError"),
        ("def make(spec, i): raise SystemExit(0)", "cannot be made for agent 0 of toy-v1: SystemExit"),
        ("def make(spec, i): return None", "made NoneType for agent 0, which has no method act"),
    ],
)
def test_code_that_makes_no_policy(tmp_path: Path, text: str, words: str) -> None:
    team = load_team("toy", SPEC, TeamSource(agent=write(tmp_path, text)))
    with pytest.raises(AgentError, match=words):
        team.vector(2)
    with pytest.raises(AgentError, match=words):
        team.policy(0)


def test_code_takes_neither_checkpoint_nor_act_mode(tmp_path: Path) -> None:
    reference = write(tmp_path, GOOD)
    for source in (TeamSource(reference, "x.safetensors"), TeamSource(reference, act_mode="greedy")):
        with pytest.raises(InvalidValueError, match="takes neither --checkpoint nor --act-mode"):
            load_team("toy", SPEC, source)


def test_memory_belongs_to_one_game_and_agent_and_starts_anew() -> None:
    team, policy = team_of(1, n_games=2)
    for _ in range(3):
        team.act(*moment(2))
    assert policy.memories[-4:] == [2, 2, 2, 2]
    team.begin(np.array([9]), np.array([1]))
    team.act(*moment(2))
    assert policy.memories[-4:] == [3, 3, None, None]
    assert [view.step for view in policy.views[-4:]] == [3, 3, 0, 0]


def test_noise_depends_on_episode_and_agent_alone() -> None:
    draw = lambda view, memory, rng: int(rng.integers(5))  # noqa: E731
    seeds = np.array([4, 8, 15])
    played = {}
    for order in ([0, 1, 2], [2, 0, 1]):
        team, _ = team_of(draw, n_games=3)
        team.begin(seeds[order], np.arange(3))
        actions = np.stack([team.act(*moment(3)) for _ in range(6)])
        for game, index in enumerate(order):
            known = played.setdefault(index, actions[:, game])
            np.testing.assert_array_equal(known, actions[:, game])
    assert (played[0] != played[1]).any() and (played[0][:, 0] != played[0][:, 1]).any()


def test_what_a_policy_is_handed_is_its_own() -> None:
    def spoil(view: AgentView, memory: Any, rng: np.random.Generator) -> int:
        assert view.observation.base is None and view.available_actions is not None
        view.observation[:] = 99.0
        view.available_actions[:] = True
        return 1

    team, policy = team_of(spoil, n_games=2)
    observations, masks = moment(2)
    masks[..., 4] = False
    before = observations.copy()
    team.act(observations, masks)
    np.testing.assert_array_equal(observations, before)
    assert not masks[..., 4].any()
    arrays = [view.observation for view in policy.views]
    assert not any(np.shares_memory(a, b) for i, a in enumerate(arrays) for b in [*arrays[:i], observations])


def test_opening_ones_own_mask_opens_no_action() -> None:
    def cheat(view: AgentView, memory: Any, rng: np.random.Generator) -> int:
        assert view.available_actions is not None
        view.available_actions[:] = True
        return 4

    team, _ = team_of(cheat)
    observations, masks = moment()
    masks[..., 4] = False
    with pytest.raises(
        ActionError, match="action 4 of agent 0 of toy-v1 at step 0 is not available; available: 0, 1, 2, 3"
    ):
        team.act(observations, masks)


def test_a_game_at_its_limit_is_not_asked_again() -> None:
    team, policy = team_of(lambda view, memory, rng: [1, 2, 3, 1, 2, 3][view.step], n_games=2)
    for _ in range(3):
        team.act(*moment(2))
    team.begin(np.array([7]), np.array([1]))
    observations, masks = moment(2)
    masks[..., 0] = False
    for _ in range(6):
        actions = team.act(observations, masks)
    assert max(view.step for view in policy.views) == 5
    np.testing.assert_array_equal(actions, [[1, 1], [3, 3]])


def test_no_order_of_asking_changes_honest_policies() -> None:
    draw = lambda view, memory, rng: int(rng.integers(5) + view.observation[0] + (memory or 0)) % 5  # noqa: E731
    actions = []
    for is_reversed in (False, True):
        team, _ = team_of(draw, n_games=3)
        if is_reversed:
            team.order.reverse()
        actions.append([team.act(*moment(3)) for _ in range(5)])
    np.testing.assert_array_equal(*actions)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (5, "action 5 of agent 0 of toy-v1 at step 0 is not available"),
        (-1, "action -1 of agent 0"),
        (2**70, "is object of shape"),
        (2**63, "is not available"),
        (1.0, "is float64 of shape \\(\\), expected one whole number"),
        (True, "is bool of shape"),
        (None, "is object of shape"),
        ("stop", "expected one whole number"),
        (np.array([1]), "of shape \\(1,\\)"),
        ([[1], [1, 2]], "is no array"),
        (torch.ones(1, requires_grad=True), "is no array: .*requires grad"),
    ],
)
def test_answers_that_are_no_choice(answer: Any, words: str) -> None:
    for masked in (True, False):
        team, _ = team_of(answer)
        observations, masks = moment()
        with pytest.raises(ActionError, match=words):
            team.act(observations, masks if masked else None)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (np.array([1, 2]), "is int64 of shape"),
        (np.array([0.5]), "of shape \\(1,\\), expected floating-point numbers of shape \\(2,\\)"),
        (np.array([0.5, np.nan]), "is not finite"),
        (np.array([0.5, np.inf]), "is not finite"),
        (np.array([0.5, 1e300]), "is not finite"),
    ],
)
def test_answers_that_are_no_torques(answer: Any, words: str) -> None:
    view = AgentView(np.zeros(3, dtype=np.float32), None, 1, 4)
    with pytest.raises(ActionError, match=words) as caught:
        checked_action(answer, view, TORQUES)
    assert "agent 1 of toy-v1 at step 4" in str(caught.value)


@pytest.mark.parametrize("answer", [np.int32(2), np.array(2), torch.tensor(2), 2])
def test_any_whole_number_is_a_choice(answer: Any) -> None:
    team, _ = team_of(answer)
    actions = team.act(*moment())
    assert actions.dtype == np.int64 and (actions == 2).all()


def test_torques_of_any_precision_become_float32() -> None:
    team, _ = team_of(torch.tensor([0.25, -1.0], dtype=torch.float64), TORQUES)
    actions = team.act(moment()[0], None)
    assert actions.dtype == np.float32
    np.testing.assert_array_equal(actions, [[[0.25, -1.0]] * 2])


@pytest.mark.parametrize("error", [ValueError("no idea"), SystemExit(0), MemoryError()])
def test_a_policy_that_raises_is_named_with_agent_and_step(error: BaseException) -> None:
    def fails(view: AgentView, memory: Any, rng: np.random.Generator) -> int:
        if view.agent_index == 1 and view.step == 2:
            raise error
        return 1

    team, _ = team_of(fails)
    with pytest.raises(AgentError, match=f"the policy of agent 1 at step 2 raised {type(error).__name__}"):
        for _ in range(3):
            team.act(*moment())


def test_an_answer_without_memory_is_refused() -> None:
    class OneThing:
        def act(self, view: AgentView, memory: Any, rng: np.random.Generator) -> Any:
            return 1

    team = PolicyTeam([OneThing()] * 2, SPEC, 1)
    team.begin(np.arange(1), np.arange(1))
    with pytest.raises(AgentError, match=r"returned int, expected \(action, memory\)"):
        team.act(*moment())


def test_loading_code_leaves_the_search_path_in_order(tmp_path: Path) -> None:
    import sys

    first = sys.path[0]
    load_code(write(tmp_path, GOOD))
    load_code(write(tmp_path, GOOD))
    assert sys.path[0] == first and sys.path.count(os.fspath(tmp_path.resolve())) == 1
