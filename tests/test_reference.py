"""An export is whole or absent, says where it comes from, and names no path of the machine."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from kc_utils.artifacts import write_parquet
from kc_utils.book.stored_results import TABLES, Reference, export_reference
from kc_utils.config import profiles
from kc_utils.errors import KcError
from kc_utils.runs import exports
from kc_utils.runs.folder import Run
from kc_utils.study.stages import STAGES


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """A run whose stages are recorded as done, with a table of two rows for each name."""
    folder = tmp_path / "model"
    made = Run.create(
        tmp_path / "run",
        profiles.load("smoke", ["model.source=folder", f"model.path={folder}", "seed=3"]),
    )
    for i, name in enumerate(TABLES):
        made.write_table(name, pd.DataFrame({"step": [0, 5], "value": [0.5, float(i)]}))
    first = {"step": 0, "attribute": ["city", "city", "major"], "right_id": [1, 1, 2]}
    made.write_table("first_token", pd.DataFrame(first))
    for stage in STAGES.study:
        wrote = [made.table_path(n) for n in TABLES] if stage.name == "claims" else []
        made.record_stage(stage.name, STAGES.key(made.config, stage.name), 1.5, wrote)
    return made


def leftovers(folder: Path) -> list[str]:
    return [p.name for p in folder.iterdir() if p.name.startswith(".")]


def test_export_holds_every_table_and_can_be_read_back(run, tmp_path):
    out = tmp_path / "new" / "reference"
    paths = export_reference(run, out)
    assert sorted(paths) == sorted(out.iterdir()) and paths[-1].name == "provenance.json"
    found = Reference.open(out)
    for name in TABLES:
        pd.testing.assert_frame_equal(found.table(name), run.table(name))
    with pytest.raises(KcError, match="'people'"):
        found.table("people")


def test_provenance_says_what_made_the_numbers_and_names_no_path(run, tmp_path):
    export_reference(run, tmp_path / "out")
    text = (tmp_path / "out" / "provenance.json").read_text()
    assert str(tmp_path) not in text and str(Path.home()) + "/" not in text
    record = json.loads(text)
    assert record["config"]["seed"] == 3 and record["config"]["model"]["path"] == "model"
    assert set(record["seconds"]) == {stage.name for stage in STAGES.study}
    assert {"python", "torch"} <= set(record["versions"]) and "git" in record
    assert record["chance_first_token"] == 1.0
    assert Reference.open(tmp_path / "out").seconds()["stage"].tolist() == [
        s.name for s in STAGES.study
    ]
    assert "processors" in record["machine"] and len(record["date"]) == 10


def test_incomplete_run_is_refused_and_nothing_is_written(run, tmp_path):
    del run.record["stages"]["claims"]
    with pytest.raises(KcError, match="stage 'claims' is missing"):
        export_reference(run, tmp_path / "out")
    assert not (tmp_path / "out").exists() and not leftovers(tmp_path)


def test_chosen_tables_are_exported_alone(run, tmp_path):
    export_reference(run, tmp_path / "out", tables=["regime", "accuracy_read"])
    found = Reference.open(tmp_path / "out")
    assert set(found.names) == {"accuracy_read", "regime"} and len(list(found.path.iterdir())) == 3
    with pytest.raises(KcError, match="people"):
        export_reference(run, tmp_path / "other", tables=["people"])


def test_an_empty_name_of_a_stage_is_refused(run, tmp_path):
    with pytest.raises(KcError, match="Unknown stage ''; allowed are world"):
        export_reference(run, tmp_path / "out", stage="")
    assert not (tmp_path / "out").exists()


def test_changed_configuration_makes_a_run_incomplete(run, tmp_path):
    changed = profiles.load("smoke", ["circuit.top_n=20"])
    with pytest.raises(KcError, match="out of date"):
        export_reference(Run.create(run.path, changed), tmp_path / "out")


def test_failure_in_the_middle_leaves_the_earlier_export(run, tmp_path, monkeypatch):
    out = tmp_path / "out"
    export_reference(run, out)
    before = {p.name: p.read_bytes() for p in out.iterdir()}
    write_parquet(run.table_path("graph"), pd.DataFrame({"step": [1]}))
    with pytest.raises(KcError, match=r"graph.parquet is damaged"):
        export_reference(run, out)
    monkeypatch.setattr(exports, "MOST_BYTES", 1000)
    write_parquet(run.table_path("graph"), pd.read_parquet(out / "graph.parquet"))
    with pytest.raises(KcError, match=r"at most 1,000 are allowed"):
        export_reference(run, out)
    assert {p.name: p.read_bytes() for p in out.iterdir()} == before
    assert not leftovers(tmp_path)


def test_an_earlier_export_is_replaced_and_a_strange_folder_is_not(run, tmp_path):
    out = tmp_path / "out"
    export_reference(run, out)
    (out / "stale.parquet").write_bytes(b"")
    export_reference(run, out)
    assert not (out / "stale.parquet").exists() and not leftovers(tmp_path)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("keep")
    with pytest.raises(KcError, match="choose another --out"):
        export_reference(run, tmp_path / "mine")
    assert (tmp_path / "mine" / "notes.txt").read_text() == "keep"


def test_missing_damaged_and_edited_exports_are_named(run, tmp_path):
    with pytest.raises(KcError, match=r"nowhere holds no exported run.*kc reference"):
        Reference.open("book/reference/nowhere")
    out = tmp_path / "out"
    export_reference(run, out)
    write_parquet(out / "accuracy.parquet", pd.DataFrame({"value": [1.0]}))
    with pytest.raises(KcError, match=r"accuracy.parquet is damaged"):
        Reference.open(out).table("accuracy")
    (out / "hits.parquet").unlink()
    with pytest.raises(KcError, match=r"hits.parquet is missing"):
        Reference.open(out).table("hits")
    (out / "provenance.json").write_text("[]")
    with pytest.raises(KcError, match="damaged"):
        Reference.open(out)


@pytest.mark.run
def test_one_question_is_told_token_by_token(smoke_run, tmp_path):
    run = Run.open(smoke_run)
    out = tmp_path / "question"
    export_reference(run, out, question="city")
    found = Reference.open(out)
    row, tokens = found.table("question").iloc[0], found.table("question_tokens")
    edges, links = found.table("question_edges"), found.table("question_links")
    assert row["name"] in row["clean"] and "".join(tokens["token"]).endswith(row["clean"])
    assert set(edges["position"]) <= set(tokens["position"])
    assert edges["score"].abs().is_monotonic_decreasing and 0 < edges["share"].sum() <= 1
    assert (edges["target"] == "logits").any() and (edges["source"] == "input").any()
    assert set(links["node"]) <= set(found.table("question_roles")["node"])
    with pytest.raises(KcError, match="'hometown'"):
        export_reference(run, tmp_path / "none", question="hometown")
    assert not (tmp_path / "none").exists()
