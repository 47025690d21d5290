"""A notebook asked for something impossible says so in one sentence, before it computes."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT

from kc_utils.benchmark.tasks import task_rows
from kc_utils.config import profiles
from kc_utils.errors import MOST_SHOWN, KcError
from kc_utils.runs import parameters
from kc_utils.runs.dataset import SweepTables, check_profile
from kc_utils.runs.folder import Run
from kc_utils.study.pipeline import stage_name
from kc_utils.study.stages import STAGES
from kc_utils.sweep import plan

NUMBERS_FROM_1 = "whole numbers from 1 on"
BANDS, KINDS = "high, medium, low", "K_rel, K_compl"
#: Profiles whose runs are stored with the book.
STORED = ", ".join(SweepTables.open(ROOT / "book" / "reference" / "sweep").record["profiles"])
#: notebook, parameter, impossible value, what the sentence says is allowed
MISTAKES = [
    ("01_data_synthesis", "task", "hobby", "city, company"),
    ("02_training", "task", "hobby", "city, company"),
    ("02_training", "n_names", 0, NUMBERS_FROM_1),
    ("02_training", "n_names", "many", NUMBERS_FROM_1),
    ("03_circuit_discovery", "task", "hobby", "city, company"),
    ("03_circuit_discovery", "kind", "K_real", KINDS),
    ("03_circuit_discovery", "band", "lowest", BANDS),
    ("03_circuit_discovery", "n_drawn", -4, NUMBERS_FROM_1),
    ("04_circuit_evaluation", "task", "hobby", "city, company"),
    ("04_circuit_evaluation", "min_gap", 3, "numbers from 0 to 1"),
    ("05_performance", "task", "hobby", "city, company"),
    ("05_performance", "ablation", "mean", "corrupted, zero"),
    ("06_topology", "task", "hobby", "city, company"),
    ("06_topology", "kind", "K_real", KINDS),
    ("06_topology", "band", "lowest", BANDS),
    ("07_components", "task", "hobby", "city, company"),
    ("07_components", "kind", "K_real", KINDS),
    ("07_components", "band", "lowest", BANDS),
    ("07_components", "epochs", [0, 99], "null, or a list of 0, 1, 2, 3, 4, 5, 6"),
    ("08_forgetting", "task", "hobby", "city, company"),
    ("08_forgetting", "variant", "old_people", "new_people, conflicting"),
    ("09_real_model", "task", "hobby", "city, company"),
    ("09_real_model", "real_profile", "tinny", STORED),
    ("10_capitals", "relation", "river", "capital, continent"),
    ("11_methods", "task", "hobby", "city, company"),
    ("11_methods", "kind", "K_real", KINDS),
    ("11_methods", "metric", "answer_log_prob", "logit_diff, prob_diff, kl"),
    ("12_evidence", "chosen_profile", "tinny", STORED),
    ("13_relevance", "chosen_profile", "tinny", STORED),
    ("14_exposure", "law", "linear", "constant, exponential, power, logarithm"),
    ("14_exposure", "chosen_profile", "tinny", STORED),
    ("15_strategies", "chosen_profile", "tinny", STORED),
    ("background_1_residual_stream", "pair", -1, "count from 0"),
    ("background_2_circuits", "pair", 5000, "count from 0"),
    ("background_3_patching", "pair", True, "count from 0"),
    ("background_3_patching", "task", "hobby", "city, company"),
    ("background_3_patching", "most_edges", 0, NUMBERS_FROM_1),
    ("background_4_integrated_gradients", "most_edges", 2.5, NUMBERS_FROM_1),
    ("background_4_integrated_gradients", "steepness", 0, "numbers above 0"),
    ("background_6_known_circuits", "noise", 2, "numbers from 0 to 1"),
    ("background_6_known_circuits", "seeds", 0, NUMBERS_FROM_1),
    ("explorer", "task", "hobby", "city, company"),
]  # fmt: skip


def begin(notebook: str, **given: Any) -> dict[str, Any]:
    """Run the cell of parameters, as papermill would fill it, and the code cell after it."""
    cells = json.loads((ROOT / "notebooks" / f"{notebook}.ipynb").read_text())["cells"]
    code = [c for c in cells if c["cell_type"] == "code"]
    at = next(i for i, c in enumerate(code) if "parameters" in c["metadata"].get("tags", ()))
    names: dict[str, Any] = {}
    exec("".join(code[at]["source"]), names)
    assert set(given) <= set(names), "the notebook has no such parameter"
    names |= given
    exec("".join(code[at + 1]["source"]), names)
    return names


@pytest.mark.parametrize(("notebook", "name", "value", "allowed"), MISTAKES)
def test_what_a_notebook_cannot_be_asked_for(
    notebook: str, name: str, value: Any, allowed: str, smoke_run: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    ensured: list[str] = []
    monkeypatch.setattr(STAGES, "ensure", lambda run, stage: ensured.append(stage))
    with pytest.raises(KcError) as error:
        begin(notebook, run_dir=str(smoke_run), **{name: value})
    sentence = str(error.value)
    assert repr(value) in sentence and allowed in sentence
    assert re.fullmatch(r"[^.]+(\d\.\d[^.]*)*\.", sentence), "one sentence"
    if name not in ("pair", "epochs"):  # what there is to choose is only known when it is read
        assert not ensured


@pytest.mark.parametrize(
    ("notebook", "name"),
    [("09_real_model", "question_dir"), ("background_6_known_circuits", "stored")],
)
def test_folders_of_stored_tables_are_looked_for_first(notebook: str, name: str, tmp_path) -> None:
    run = Run.create(tmp_path / "run", profiles.load("smoke"))
    with pytest.raises(KcError, match="nowhere holds no"):
        begin(notebook, run_dir=str(run.path), **{name: "nowhere"})


@pytest.mark.parametrize("notebook", ["03_circuit_discovery", "06_topology", "07_components"])
def test_the_band_is_the_one_asked_for_or_the_first(notebook: str, smoke_run: Path) -> None:
    assert begin(notebook, run_dir=str(smoke_run))["band"] == "high"
    assert begin(notebook, run_dir=str(smoke_run), band="low")["band"] == "low"


def test_a_band_that_a_run_leaves_out_is_refused(smoke_run: Path) -> None:
    run = Run.open(smoke_run)
    circuit = run.config.circuit.model_copy(update={"bands": ("medium", "low")})
    run.config = run.config.model_copy(update={"circuit": circuit})
    assert parameters.choose_band(run, None) == "medium"
    with pytest.raises(KcError, match="band = 'high' is not studied"):
        parameters.choose_band(run, "high")


def test_what_is_allowed_passes() -> None:
    parameters.one_of(["a", "b"], letter="b")
    parameters.whole_number(1, n=1)
    parameters.positive(x=0.5, y=3)
    parameters.fraction(x=0, y=1, z=0.5)


@pytest.mark.parametrize("value", [True, None, float("nan"), float("inf"), "1", -1, 0])
def test_what_is_no_positive_number(value: Any) -> None:
    with pytest.raises(KcError, match=f"x = {value!r} is not possible"):
        parameters.positive(x=value)
    with pytest.raises(KcError, match=f"x = {value!r} is not possible"):
        parameters.whole_number(1, x=value)


LONG = "x" * 2000


@pytest.mark.parametrize(
    "ask",
    [
        lambda run: parameters.choose_task(run, LONG),
        lambda run: parameters.one_of(["a"], letter=LONG),
        lambda run: STAGES.get(LONG),
        lambda run: stage_name(LONG),
        lambda run: check_profile(LONG, ["tiny"]),
        lambda run: plan.plan(["smoke"], [0], [], run.path, experiments_for=[LONG]),
        lambda run: plan.seeds_of(1, LONG),
        lambda run: plan.check_address(LONG),
        lambda run: task_rows(LONG, 1, 0),
    ],
)
def test_long_values_are_cut_in_messages(ask: Callable[[Run], object], tmp_path: Path) -> None:
    run = Run.draft(tmp_path, profiles.load("smoke"))
    with pytest.raises(KcError, match=r"xx\.\.\.xx.*allowed are") as error:
        ask(run)
    assert len(str(error.value)) < 2 * MOST_SHOWN + 300


@pytest.mark.parametrize("epochs", [None, 2, 2.0, [0, 2], (0.5,)])
def test_checkpoints_that_are_there_can_be_chosen(epochs: Any) -> None:
    parameters.some_of([0.0, 2.0, 0.5, 0.5], epochs=epochs)


@pytest.mark.parametrize("epochs", [[], [0, 99], 7, "2", ["2"], [True], {}, [None], [[0]]])
def test_checkpoints_that_are_not_there_are_refused_by_the_name_of_the_parameter(epochs) -> None:
    said = f"epochs = {epochs!r} is not possible; allowed are null, or a list of 0, 0.5, 2."
    with pytest.raises(KcError) as refusal:
        parameters.some_of([0.0, 2.0, 0.5, 0.5], epochs=epochs)
    assert str(refusal.value) == said
