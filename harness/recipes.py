"""From a recipe to a dataset: load its behaviours, play them, write the file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from agents import registry, zoo
from env_adapters import scenarios
from env_adapters.api import TeamSpec
from env_adapters.errors import MismatchError
from harness.jobs import one_torch_thread
from harness.progress import Say
from harness.warmup import prepare_engine

if TYPE_CHECKING:
    from agents.checkpoints import Checkpoint
    from datasets.card import DatasetCard
    from datasets.collect import Behaviour, Progress
    from datasets.recipes import Recipe, RecipeBehaviour


def make(
    recipe: Recipe,
    path: Path,
    transitions: int,
    seed: int,
    n_games: int,
    say: Say,
    progress: Progress | None = None,
) -> DatasetCard:
    """Collect the dataset of a recipe; the same bits whatever `n_games` is.

    Args:
        recipe: what to make.
        path: the file to write.
        transitions: how many at least; the recipe names its default and the size of what it mirrors.
        seed: root of the episode seeds; the recipe names its default.
        n_games: games played side by side.
        say: told when kernels must be compiled first.
        progress: see `datasets.collect.Progress`.

    Raises:
        HarnessError: as `team` and `datasets.collect.collect`.
    """
    from datasets.collect import collect

    scenario = scenarios.find(recipe.scenario)
    with scenarios.make_vector(scenario.name, n_games, layout=recipe.layout) as env, one_torch_thread():
        behaviours = [_behaviour(recipe, part, env.spec, n_games) for part in recipe.behaviours]
        prepare_engine(scenario, say)
        notes = [f"Made after the statistics of {recipe.mirrors}; not its data."] if recipe.mirrors else []
        return collect(
            env, behaviours, transitions, seed, path, progress, recipe.source, [*notes, *recipe.notes]
        )


def team(recipe: Recipe, part: RecipeBehaviour, spec: TeamSpec) -> Checkpoint:
    """Load the policy that one behaviour of a recipe names.

    Raises:
        UnknownNameError: no such behaviour policy ships.
        CorruptFileError: its file is damaged.
        MismatchError: it was made for another scenario or layout, or has other weights than the recipe says.
    """
    from agents.checkpoints import check_fits, initial, load_checkpoint

    name = part.checkpoint
    if name in registry.AGENTS and registry.AGENTS[name].kind == "control":
        return initial(name, None, spec, seed=0)
    loaded = load_checkpoint(zoo.behaviour(name))
    check_fits(loaded, spec)
    if loaded.weights_hash != part.weights:
        raise MismatchError(
            f"recipe {recipe.path}: weights of '{name}' are {str(part.weights)[:12]}…, the file has "
            f"{loaded.weights_hash[:12]}…; install the release that the recipe belongs to, or correct the recipe"
        )
    return loaded


def _behaviour(recipe: Recipe, part: RecipeBehaviour, spec: TeamSpec, n_games: int) -> Behaviour:
    """One behaviour ready to play, in double precision."""
    from agents.acting import BatchedTeam
    from datasets.collect import Behaviour
    from datasets.noise import NoisyTeam
    from env_adapters.api import TeamPolicy

    found = team(recipe, part, spec)
    policy: TeamPolicy = BatchedTeam(found.agent, found.params, n_games, part.act_mode, double=True)
    if part.epsilon or part.sigma:
        policy = NoisyTeam(policy, spec, n_games, part.epsilon, part.sigma)
    return Behaviour(policy, part.checkpoint, found.weights_hash, part.share, part.acting)
