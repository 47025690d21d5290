"""The running example: the same pair in every chapter, chosen by one rule."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from kc_utils.background.lesson import open_lesson
from kc_utils.errors import KcError
from kc_utils.runs.folder import Run
from kc_utils.study.running_example import head_roles, ranks_in_circuits, running_example
from kc_utils.study.stages import STAGES, common


@pytest.fixture
def run(smoke_run: Path) -> Run:
    return Run.open(smoke_run)


def candidates(run: Run) -> pd.DataFrame:
    """Evaluate people of the first band, in the order of the pairs."""
    pairs = common.read_pairs(run).query("task == 'city' and wording == 'trained'")
    pairs = pairs[(pairs["split"] == "evaluate") & (pairs["band"] == run.config.circuit.bands[0])]
    return pairs.drop_duplicates("person_id")


def test_the_first_whom_the_model_answers_is_taken(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = candidates(run)
    people = run.read(run.path / "data" / "people.parquet")

    def answered(ids: list[int], attribute: str) -> None:
        row = {"attribute": attribute, "wording": "trained", "correct": True}
        answers = pd.DataFrame({"person_id": ids}).assign(**row)
        monkeypatch.setattr(Run, "table", lambda self, name: answers)

    again = set(common.asked_again(people, run.config)["person_id"])
    for place in (0, len(wanted) - 1):
        row = wanted.iloc[place]
        both = row[["person_id", "corrupted_person_id"]].tolist()
        answered(both, "city")
        chosen = running_example(run, "city")
        known = wanted[wanted[["person_id", "corrupted_person_id"]].isin(both).all(axis=1)]
        first = min(known.index, key=lambda i: (known["person_id"][i] not in again, i))
        assert chosen.known and chosen.row["pair_id"] == known["pair_id"][first]
        assert chosen.name in chosen.row["clean"] and len(chosen.batch) == 1
        assert chosen.cell == common.Cell("city", row["kind"], row["band"])
    answered(both[:1], "city")
    assert not running_example(run, "city").known, "the control: who stands in is not known"
    answered(both, "company")
    assert not running_example(run, "city").known, "the control: another question is answered"


def test_before_training_it_is_somebody_and_nobody_is_known(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = STAGES.done
    monkeypatch.setattr(STAGES, "done", lambda r, name: name == "prompts" and done(r, name))
    chosen = running_example(run, "city")
    assert not chosen.known
    assert chosen.row["person_id"] in set(candidates(run)["person_id"])
    assert head_roles(run, chosen.cell) is None
    with pytest.raises(KcError, match="task = 'hobby' is not studied"):
        running_example(run, "hobby")


def test_its_ranks_are_those_of_its_own_question(run: Run) -> None:
    example = running_example(run, "city")
    ranks = ranks_in_circuits(run, example, "corrupted")
    steps = common.analysed_checkpoints(run)
    assert ranks["epoch"].tolist() == steps["epoch"].tolist()
    bridge, last = common.open_bridge(run, int(steps["step"].iloc[-1])), ranks.iloc[-1]
    logits = bridge(example.batch.clean_ids, return_type="logits")[0, -1]
    above = int((logits > logits[example.batch.right_ids]).sum())
    assert last["whole_model"] == above + 1
    other = ranks_in_circuits(run, example, "zero")
    assert not ranks["circuit"].equals(other["circuit"]), "the control: another replacement"
    assert ranks["whole_model"].equals(other["whole_model"])


@pytest.mark.slow
def test_the_background_opens_on_it_and_its_cell_has_roles(run: Run) -> None:
    chosen = running_example(run, "city")
    lesson = open_lesson(run.path, "city", 0)
    assert lesson.chosen["pair_id"] == chosen.row["pair_id"]
    assert lesson.chosen["person_id"] == chosen.row["person_id"]
    assert lesson.prompts()["text"].tolist() == [chosen.row["clean"], chosen.row["corrupted"]]
    roles, graph = head_roles(run, chosen.cell), common.graph_of_run(run)
    assert roles["node"].is_unique and set(roles["node"]) == {n for n in graph.rows if "h" in n}
