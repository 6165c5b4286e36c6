"""The catalog of public datasets: complete, consistent, and found by name; figures that agree and that do not."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
from recorded import DISCRETE, make_episode, write

from datasets import cache, catalog
from datasets.agreement import compare
from datasets.catalog import PublishedStatistics
from datasets.formats.native import open_dataset
from datasets.schema import Dataset
from env_adapters import scenarios
from env_adapters.errors import UnknownNameError

GOOD = "og-marl/smac_v1/3m/Good"


def test_all_public_datasets_are_there() -> None:
    entries = catalog.entries()
    assert len(entries) == 84 and len({entry.archive for entry in entries}) == 30
    for entry in entries:
        assert entry.name == f"{entry.source}/{entry.environment}/{entry.scenario}/{entry.quality}"
        where = "core" if entry.source == "og-marl" else f"prior_work/{entry.source}"
        assert entry.archive == f"{where}/{entry.environment}/{entry.scenario}.zip"
        assert entry.base.startswith("https://") and entry.licence == "Apache-2.0"


@pytest.mark.parametrize("entry", catalog.entries(), ids=lambda entry: entry.name)
def test_figures_of_a_card_fit_together(entry: catalog.CatalogEntry) -> None:
    told = entry.published
    assert told.return_min <= told.return_mean <= told.return_max
    assert 0 <= told.return_std <= (told.return_max - told.return_min) / 2 + 1e-3
    assert told.n_transitions / told.n_episodes == pytest.approx(told.mean_episode_length, abs=0.1)
    assert 0 < told.joint_saco <= 1


def test_known_figures() -> None:
    entry = catalog.find(GOOD)
    assert entry.published == PublishedStatistics(
        *(3, 30, 48, "discrete", 9, 16.489, 5.915, 0.0, 20.0, 996366, 43559, 22.9, 0.7992)
    )
    assert entry.size_bytes == 1_390_000_000 and entry.archive == "core/smac_v1/3m.zip"
    robot = catalog.find("omiga/mamujoco/2ant/Medium-Replay").published
    assert (robot.action_kind, robot.action_size, robot.joint_saco) == (
        "continuous",
        4,
        pytest.approx(0.66, abs=5e-3),
    )


@pytest.mark.parametrize("entry", catalog.entries("og-marl/smac_v1"), ids=lambda entry: entry.name)
def test_sizes_are_those_of_the_simulator(entry: catalog.CatalogEntry) -> None:
    with scenarios.make_vector(entry.scenario, 1, layout="smac-v1") as env:
        spec, told = env.spec, entry.published
    assert (spec.n_agents, spec.observation_size, spec.state_size, spec.action_size) == (
        *(told.n_agents, told.observation_size, told.state_size, told.action_size),
    )


@pytest.mark.parametrize("name", [GOOD, GOOD.lower(), GOOD.upper(), "og_marl/smac-v1/3m/good", f"{GOOD}/"])
def test_a_name_is_found_however_it_is_spelled(name: str) -> None:
    assert catalog.find(name).name == GOOD and catalog.is_name(name)


@pytest.mark.parametrize(
    ("name", "near"),
    [("og-marl/smac_v1/3m/God", GOOD), ("omiga/mamujoco/2ants/Expert", "omiga/mamujoco/2ant/Expert")],
)
def test_a_wrong_name_meets_the_nearest(name: str, near: str) -> None:
    with pytest.raises(UnknownNameError, match=f"did you mean .*{near}.*harness datasets ls"):
        catalog.find(name)


def test_patterns() -> None:
    assert len(catalog.entries("5m_vs_6m")) == 3 + 3 + 4
    assert [entry.source for entry in catalog.entries("*/3hopper/EXPERT")] == ["omiga"]
    assert catalog.entries("nothing") == []


def test_the_source_of_a_card(monkeypatch: pytest.MonkeyPatch) -> None:
    found = catalog.published(GOOD)
    assert found is not None and found.name == GOOD
    assert catalog.published("") is None and catalog.published("elsewhere/x") is None


def test_a_recipe_leads_to_what_it_imitates(monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("datasets.recipes")

    def find(name: str) -> SimpleNamespace:
        if name not in recipes:
            raise UnknownNameError(name)
        return recipes[name]

    recipes = {"3m/good": SimpleNamespace(mirrors=GOOD), "3m/own": SimpleNamespace(mirrors="")}
    module.find = find  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "datasets.recipes", module)
    found = catalog.published("recipe/3m/good")
    assert found is not None and found.name == GOOD
    assert catalog.published("recipe/3m/own") is None and catalog.published("recipe/gone") is None


def test_where_the_cache_lies(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("HARNESS_DATASETS", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache.root() == tmp_path / "marl-harness" / "datasets"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert cache.root() == Path.home() / ".cache" / "marl-harness" / "datasets"
    monkeypatch.setenv("HARNESS_DATASETS", str(tmp_path / "other"))
    assert cache.root() == tmp_path / "other"


def test_a_name_or_a_path(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HARNESS_DATASETS", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UnknownNameError, match=f"harness datasets fetch {GOOD}"):
        cache.locate(GOOD)
    native = cache.native_path(catalog.find(GOOD))
    native.parent.mkdir(parents=True)
    native.write_bytes(b"")
    assert cache.locate(GOOD.lower()) == native and cache.label(GOOD.lower()) == GOOD.replace("/", "-")
    assert cache.locate("data/none.h5") == Path("data/none.h5") and cache.label("data/none.h5") == "none"
    own = tmp_path / GOOD
    own.parent.mkdir(parents=True)
    own.write_bytes(b"")
    assert cache.locate(GOOD) == Path(GOOD), "what exists is meant"


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    rng = np.random.default_rng(0)
    write(tmp_path / "data.h5", [make_episode(rng, length) for length in (3, 1, 5, 2, 4)])
    return open_dataset(tmp_path / "data.h5")


def as_published(dataset: Dataset) -> PublishedStatistics:
    """What a card would say, rounded as cards are."""
    returns = dataset.episode_returns()
    figures = (
        round(float(figure), 3) for figure in (returns.mean(), returns.std(), returns.min(), returns.max())
    )
    sizes = (DISCRETE.n_agents, DISCRETE.observation_size, DISCRETE.state_size)
    counts = (dataset.n_transitions, dataset.n_episodes, dataset.n_transitions / dataset.n_episodes)
    return PublishedStatistics(*sizes, "discrete", DISCRETE.action_size, *figures, *counts, 1.0)


def wrong(dataset: Dataset, published: PublishedStatistics) -> set[str]:
    return {row.what for row in compare(dataset, published) if not row.agrees}


def test_a_dataset_agrees_with_its_own_figures(dataset: Dataset) -> None:
    assert wrong(dataset, as_published(dataset)) == set()


@pytest.mark.parametrize(
    ("key", "by", "what"),
    [
        ("return_mean", 0.01, "return mean"),
        ("return_std", -0.01, "return std"),
        ("return_min", 0.01, "return min"),
        ("return_max", -0.01, "return max"),
        ("n_episodes", 2, "episodes"),
        ("n_episodes", -1, "episodes"),
        ("n_transitions", 30, "transitions"),
        ("n_transitions", -1, "transitions"),
        ("n_agents", 1, "agents"),
        ("observation_size", 1, "observation size"),
        ("state_size", 1, "state size"),
        ("action_size", -1, "actions"),
    ],
)
def test_a_figure_that_differs_is_found(dataset: Dataset, key: str, by: float, what: str) -> None:
    published = as_published(dataset)
    assert what in wrong(dataset, dataclasses.replace(published, **{key: getattr(published, key) + by}))


def test_an_unfinished_episode_that_was_counted_is_allowed_for(dataset: Dataset) -> None:
    """A card that counts one episode more, of return 0, as some do."""
    published, returns = as_published(dataset), np.append(dataset.episode_returns(), 0.0)
    counted = dataclasses.replace(
        published,
        n_episodes=published.n_episodes + 1,
        n_transitions=published.n_transitions + 1,
        return_mean=round(float(returns.mean()), 3),
        return_std=round(float(returns.std()), 3),
        return_min=round(float(returns.min()), 3),
        return_max=round(float(returns.max()), 3),
    )
    assert wrong(dataset, counted) == set()


def test_states_of_all_agents_joined_are_allowed_for(dataset: Dataset) -> None:
    published = as_published(dataset)
    assert wrong(dataset, dataclasses.replace(published, state_size=2)) == set()
