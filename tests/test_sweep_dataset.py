"""The tables of many runs as one data set: whole or absent, checked, the same bytes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from kc_utils import ROOT, STORED_SWEEP
from kc_utils.artifacts import write_parquet
from kc_utils.cli.app import app
from kc_utils.cli.outcome import outcome
from kc_utils.config import profiles
from kc_utils.errors import KcError
from kc_utils.runs.dataset import SweepTables, compact
from kc_utils.runs.folder import Run
from kc_utils.study.stages import STAGES
from kc_utils.sweep.export import stored_already, write_dataset
from kc_utils.sweep.plan import plan

STAGE_OF = {"accuracy": "performance", "topology": "topology"}


def make_run(
    folder: Path, seed: int, profile: str = "smoke", tables=("accuracy", "topology"), settings=()
) -> Run:
    """A run whose stages are recorded as done, with small tables."""
    run = Run.create(
        folder / profile / f"seed-{seed}", profiles.load(profile, [*settings, f"seed={seed}"])
    )
    for stage in STAGES:
        own = [name for name in tables if STAGE_OF[name] == stage.name]
        if stage.group == "experiment" and not own:
            continue
        for name in own:
            values = {"kind": ["K_rel", "K_compl"], "step": [5, 0], "value": [seed + 0.1, np.nan]}
            run.write_table(name, pd.DataFrame(values | {"source": name, "profile": "other"}))
        key = STAGES.key(run.config, stage.name)
        run.record_stage(stage.name, key, 2.0, [run.table_path(name) for name in own])
    return run


def content(folder: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in sorted(folder.iterdir())}


def test_tables_of_all_runs_read_as_one(tmp_path) -> None:
    runs = [make_run(tmp_path, seed, name) for seed in (0, 1) for name in ("smoke", "tiny")]
    found = write_dataset(runs, tmp_path / "out")
    table = SweepTables.open(tmp_path / "out").table("accuracy")
    assert list(table)[:2] == ["profile", "seed"]
    assert table["profile"].tolist() == ["smoke"] * 4 + ["tiny"] * 4
    assert table["seed"].tolist() == [0, 0, 1, 1] * 2
    assert table["step"].tolist() == [5, 0] * 4  # as in the run
    assert table["value"].dtype == np.float64
    np.testing.assert_allclose(table["value"].dropna(), [0.1, 1.1] * 2, rtol=1e-6)
    assert found.has("topology") and not found.has("hits")
    found.require_profile("tiny")
    found.require_profile("tiny", "accuracy")
    with pytest.raises(KcError, match=r"no profile 'nosuch'; allowed are smoke, tiny\.$"):
        found.require_profile("nosuch")
    runs_table = found.runs
    assert runs_table[["profile", "seed"]].values.tolist() == [
        ["smoke", 0], ["smoke", 1], ["tiny", 0], ["tiny", 1]
    ]  # fmt: skip
    assert set(runs_table["seconds"]) == {2.0 * len(STAGES.study)}


def test_a_profile_that_a_table_lacks_is_refused_with_those_that_it_has() -> None:
    stored = SweepTables.open(ROOT / STORED_SWEEP)
    stored.require_profile("tiny-llama", "accuracy")
    with pytest.raises(KcError, match="The table strategies of the sweep has no profile 'tiny-l"):
        stored.require_profile("tiny-llama", "strategies")


def test_the_same_runs_give_the_same_bytes_in_any_order(tmp_path) -> None:
    runs = [make_run(tmp_path, seed) for seed in (2, 0, 1)]
    write_dataset(runs, tmp_path / "one")
    write_dataset(runs[::-1], tmp_path / "two")
    for run in runs:  # one by one, as several machines would
        write_dataset([run], tmp_path / "three", merge=True)
    assert content(tmp_path / "one") == content(tmp_path / "two") == content(tmp_path / "three")


def test_what_was_asked_before_the_study_is_in_the_data_set(tmp_path) -> None:
    run = make_run(tmp_path, 0)
    controls = run.path / "data" / "real_controls.parquet"
    asked = pd.DataFrame({"check": ["own facts", "made-up names"], "known": [0.25, 0.0]})
    write_parquet(controls, asked)
    run.record_stage("world", STAGES.key(run.config, "world"), 2.0, [controls])
    found = write_dataset([run], tmp_path / "out").table("real_controls")
    pd.testing.assert_frame_equal(found.drop(columns=["profile", "seed"]), asked)


def test_a_table_of_an_outdated_stage_is_left_out(tmp_path) -> None:
    run = make_run(tmp_path, 0)
    changed = Run.create(run.path, profiles.load("smoke", ["training.epochs=3"]))
    with pytest.raises(KcError, match="holds no table 'accuracy'"):
        write_dataset([changed], tmp_path / "out").table("accuracy")


def test_runs_that_were_exported_stay_when_they_fit_and_are_named_when_not(tmp_path) -> None:
    out = tmp_path / "out"
    write_dataset([make_run(tmp_path, 0), make_run(tmp_path, 0, "tiny")], out)
    found = write_dataset([make_run(tmp_path, 3)], out, merge=True)
    assert found.table("accuracy")[["profile", "seed"]].drop_duplicates().values.tolist() == [
        ["smoke", 0], ["smoke", 3], ["tiny", 0]
    ]  # fmt: skip
    before = content(out)
    other = make_run(tmp_path / "other", 4, settings=["circuit.top_n=20"])
    with pytest.raises(KcError, match=r"smoke/seed-0 .*circuit\.top_n was 24, is 20"):
        write_dataset([other], out, merge=True)
    assert content(out) == before
    with pytest.raises(KcError, match=r"seed-4 has another configuration"):
        write_dataset([make_run(tmp_path, 0), other], tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_a_run_of_another_stage_version_does_not_stay(tmp_path, monkeypatch) -> None:
    write_dataset([make_run(tmp_path, 0)], tmp_path / "out")
    stage = STAGES.get("circuit")
    object.__setattr__(stage, "version", stage.version + 1)
    try:
        with pytest.raises(KcError, match=r"seed-0, computed by another version of stage 'circ"):
            write_dataset([make_run(tmp_path, 1)], tmp_path / "out", merge=True)
    finally:
        object.__setattr__(stage, "version", stage.version - 1)


def test_the_command_exports_complete_runs_and_names_the_others(tmp_path, capsys) -> None:
    for seed in (0, 2):
        make_run(tmp_path, seed)
    line = ["sweep", "--profile", "smoke", "--out", str(tmp_path)]
    more = ["--no-experiments", "--no-compute", "--export", str(tmp_path / "kept")]
    assert outcome(lambda: app([*line, "--seeds", "4", *more])) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "not complete, so not in it: smoke/seed-1, smoke/seed-3" in text
    assert "only experiments" not in text
    assert SweepTables.open(tmp_path / "kept").runs["seed"].tolist() == [0, 2]
    assert not (tmp_path / "smoke" / "seed-1").exists() and not (tmp_path / "tables").exists()
    outcome(lambda: app([*line, "--seed-list", "0", *more[1:]]))
    assert "only experiments are missing; with --no-experiments" in capsys.readouterr().out


@pytest.mark.slow
def test_what_is_stored_is_not_computed_again_even_without_its_folder(
    tmp_path, capsys, monkeypatch
) -> None:
    kept = tmp_path / "kept"
    write_dataset([make_run(tmp_path / "gone", seed) for seed in (0, 1)], kept)
    make_run(tmp_path / "here", 2)
    before = content(kept)
    line = ["sweep", "--profile", "smoke", "--out", str(tmp_path / "here")]
    line += ["--no-experiments", "--export", str(kept)]
    code = outcome(lambda: app([*line, "--seeds", "3"]))
    text = " ".join(capsys.readouterr().out.split())
    assert code == 0 and "stored already: smoke/seed-0, smoke/seed-1" in text
    assert [p.name for p in (tmp_path / "here" / "smoke").glob("seed-*")] == ["seed-2"]
    assert SweepTables.open(kept).runs["seed"].tolist() == [0, 1, 2] and content(kept) != before
    # Another configuration, or another version of a stage, is not what is stored.
    for settings, seed in ((["circuit.top_n=20"], 0), ([], 7)):
        names = stored_already(kept, plan(["smoke"], [seed], settings, tmp_path / "new"))
        assert names == set()
    stage = STAGES.get("circuit")
    monkeypatch.setitem(vars(stage), "version", stage.version + 1)
    assert stored_already(kept, plan(["smoke"], [0], [], tmp_path / "new")) == set()


def test_damaged_missing_and_foreign_files_are_named(tmp_path) -> None:
    out = tmp_path / "out"
    run = make_run(tmp_path, 0)
    found = write_dataset([run], out)
    write_parquet(out / "accuracy.parquet", pd.DataFrame({"value": [1.0]}))
    with pytest.raises(KcError, match=r"accuracy\.parquet is damaged"):
        found.table("accuracy")
    (out / "topology.parquet").unlink()
    with pytest.raises(KcError, match=r"topology\.parquet is missing"):
        found.table("topology")
    (out / "sweep.json").write_text("{}")
    with pytest.raises(KcError, match=r"sweep\.json is damaged"):
        SweepTables.open(out)
    with pytest.raises(KcError, match=r"nowhere holds no tables of a sweep.*kc sweep"):
        SweepTables.open(tmp_path / "nowhere")
    write_parquet(run.table_path("accuracy"), pd.DataFrame({"value": [1.0]}))
    with pytest.raises(KcError, match=r"accuracy\.parquet is damaged"):
        write_dataset([run], tmp_path / "new")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("keep")
    with pytest.raises(KcError, match="choose another folder"):
        write_dataset([run], tmp_path / "mine")


def test_too_large_a_data_set_is_refused_and_the_earlier_one_stays(tmp_path) -> None:
    out = tmp_path / "out"
    runs = [make_run(tmp_path, seed) for seed in (0, 1)]
    write_dataset(runs[:1], out)
    before = content(out)
    with pytest.raises(KcError, match=r"of the sweep hold [\d,]+ bytes, most of them in '"):
        write_dataset(runs, out, most_bytes=2_000)
    assert content(out) == before
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith(".")] == []


def test_provenance_names_no_path_and_single_precision_loses_no_small_value(tmp_path) -> None:
    run = make_run(tmp_path, 0, settings=["model.source=folder", f"model.path={tmp_path}/model"])
    found = write_dataset([run], tmp_path / "out")
    assert str(tmp_path) not in (tmp_path / "out" / "sweep.json").read_text()
    assert found.runs["overrides"].tolist() == ["model.source=folder model.path=model"]
    assert {"git", "versions", "machine", "device"} <= set(found.record["runs"][0])
    frame = pd.DataFrame({"p": [1e-60, 0.5], "x": [0.1, np.nan], "n": [1, 2]})
    assert compact(frame).dtypes.astype(str).tolist() == ["float64", "float32", "int64"]
