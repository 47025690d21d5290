"""The experiment on strategies as a stage: its tables, its refusals, its figures."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from kc_utils import plots
from kc_utils.config import profiles
from kc_utils.errors import KcError
from kc_utils.runs.folder import Run
from kc_utils.runs.stage import Workspace
from kc_utils.study.experiments.strategies import stage
from kc_utils.study.experiments.strategies.following import n_kept
from kc_utils.study.experiments.strategies.plans import STRATEGIES, evenly, replay_budget
from kc_utils.study.stages import STAGES

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The experiment at smoke size; its jobs run in this process."""
    run = Run.create(tmp_path_factory.mktemp("strategies") / "run", profiles.load("smoke"))
    for name in ("world", "base"):
        STAGES.ensure(run, name)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stage, "run_jobs", lambda function, jobs, _: [function(*j) for j in jobs])
        stage.compute(Workspace(run, "strategies", "key"))
    return run


def test_the_tables_of_the_experiment(done: Run) -> None:
    chosen, steps = done.config.strategies, done.table("strategies")
    summary = done.table("strategies_summary").set_index("strategy")
    assert list(summary.index) == list(STRATEGIES)
    assert steps.groupby("strategy")["step"].agg(list).map(tuple).nunique() == 1
    last = steps[steps["step"] == chosen.steps].set_index("strategy")
    size = chosen.batch_size * done.config.training.block_size
    assert (last["tokens"] == chosen.steps * size).all()
    assert last.loc["plain", "replayed_blocks"] == 0
    assert (last["replayed_blocks"].drop("plain") == replay_budget(chosen)).all()
    assert (last["n_people"] == chosen.people).all()
    assert (last["n_queries"] == chosen.queries).all()
    first = steps[steps["step"] == 0]
    assert first[["new_accuracy", "old_accuracy", "entropy"]].nunique().max() == 1
    all_parts = summary.loc["replay", "trained_parameters"]
    partial = summary.loc[["circuit", "random parts"], "trained_parameters"]
    assert partial.nunique() == 1 and partial.max() < all_parts
    units = done.table("strategies_units")
    means = units.groupby(["facts", "strategy"])["value"].mean()
    assert np.allclose(means["new"][summary.index], summary["area_new"], atol=1e-6)
    names = ("strategies", "strategies_summary", "strategies_units")
    assert sum(done.table_path(n).stat().st_size for n in names) < 4e4


def test_the_shift_is_awaited_in_the_entropy_of_kept_edges(done: Run) -> None:
    steps = done.table("strategies")
    kept = n_kept(done.config, 10**6)  # smoke sets the size
    assert kept < 100
    assert (steps["entropy_kept"] <= np.log(kept) + 1e-9).all()
    assert (steps["entropy_kept"] < steps["entropy"]).all()


def test_the_followed_circuit_keeps_what_circuits_may_have() -> None:
    rule = profiles.load("tiny", ["circuit.top_n=null", "circuit.most_edges=0.05"])
    assert n_kept(rule, 6637) == 331 and n_kept(rule, 5) == 1
    configured = profiles.load("tiny", ["circuit.top_n=300"])
    assert n_kept(configured, 6637) == 300 and n_kept(configured, 46) == 46


def test_strategies_with_the_same_blocks_agree_until_they_part(done: Run) -> None:
    steps = done.table("strategies").pivot(index="step", columns="strategy", values="entropy")
    until = done.config.strategies.measure_every
    parting = ["replay", "circuit", "random parts"]
    assert steps.loc[until, parting].nunique() == 1  # everything is trained until then
    assert steps.loc[steps.index.max(), parting].nunique() == 3


def test_unequal_budgets_are_refused(done: Run) -> None:
    steps = done.table("strategies")
    stage.require_one_budget(steps)
    more = steps.copy()
    more.loc[more["strategy"] == "phase", "tokens"] *= 2
    with pytest.raises(KcError, match="differ in their budgets"):
        stage.require_one_budget(more)


def test_a_model_that_is_not_made_here_is_refused(done: Run) -> None:
    other = profiles.load("smollm2-mini")
    run = Run(done.path, {"config": other.model_dump(mode="json"), "stages": {}})
    with pytest.raises(KcError, match=r"model.source = 'package'.*allowed is made"):
        stage.compute(Workspace(run, "strategies", "key"))


@pytest.mark.parametrize(
    ("change", "message"),
    [("detect_every=3", "not a multiple of detect_every"), ("replay=0.7", "may be at most 1")],
)
def test_impossible_settings_are_one_sentence(change: str, message: str) -> None:
    with pytest.raises(KcError, match=message):
        profiles.load("tiny", [f"strategies.{change}"])


def test_whole_numbers_are_spread_evenly() -> None:
    assert evenly(7, 3).tolist() == [2, 2, 3]
    assert evenly(0, 3).tolist() == [0, 0, 0]


def seeds(table: pd.DataFrame, n: int, names: tuple[str, ...]) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    frames = [table.assign(profile=p, seed=s) for p in names for s in range(n)]
    joined = pd.concat(frames, ignore_index=True)
    for column in ("new_accuracy", "old_accuracy", "area_new", "change_old"):
        if column in joined:
            joined[column] += rng.normal(0, 0.02, len(joined))
    return joined


@pytest.mark.parametrize(("n", "names"), [(1, ("tiny",)), (3, ("tiny", "tiny-llama"))])
def test_figures_of_one_and_of_several_runs(done: Run, n: int, names: tuple[str, ...]) -> None:
    curves = seeds(done.table("strategies"), n, names)
    summary = seeds(done.table("strategies_summary"), n, names)
    figure = plots.strategy_curves(curves, chance=0.1)
    assert len(figure.axes) == 2 * len(names)
    assert len(figure.axes[0].lines) == len(STRATEGIES) + 1
    bands = [band for band in figure.axes[0].collections if band.get_paths()]
    assert len(bands) == (len(STRATEGIES) if n > 1 else 0)
    assert len(plots.strategy_trade_off(summary).axes) == len(names)
    with pytest.raises(KcError, match="repeated rows"):
        plots.strategy_curves(pd.concat([curves, curves]))
