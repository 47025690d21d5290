"""A study of facts: complete, equal to the library by hand, resumable, better than chance."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import facts_case
import numpy as np
import pandas as pd
import pytest
import torch
from conftest import kc
from typer.testing import CliRunner

from kc_utils import artifacts
from kc_utils.analysis.topology import entropy, jaccard
from kc_utils.circuits.attribution import AttributionSettings, attribute
from kc_utils.circuits.bridge import boot_bridge
from kc_utils.circuits.circuit import top_n
from kc_utils.circuits.evaluation import evaluate_circuit
from kc_utils.circuits.pair_batch import PairBatch
from kc_utils.circuits.score_files import read_scores
from kc_utils.cli.app import app
from kc_utils.errors import KcError
from kc_utils.facts import study
from kc_utils.facts.compute_study import Request, study_facts
from kc_utils.facts.pairing import FactSettings
from kc_utils.facts.study_figures import write_figures
from kc_utils.facts.study_folder import Study, StudyFolder
from kc_utils.models.causal_lm import load_model, load_tokenizer
from kc_utils.runs.lock import lock_file, locked

pytestmark = pytest.mark.slow

# Circuits of this size and ten random ones leave a wide gap, whatever the model became.
SETTINGS = FactSettings(pairs=16, top_share=0.3, shares=(0.01, 0.3, 1.0), steps=3,
                        random_circuits=10)  # fmt: skip
TABLES = {"facts", "relations", "pairs", "graph", "sizes", "areas", "transfer", "topology",
          "answers", "overlap", "heads", "role_shares", "logit_lens", "strongest_edges",
          "size_pairs", "transfer_pairs"}  # fmt: skip


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> list[Path]:
    """Before learning, half-way, and when it knows all of the facts."""
    return facts_case.folders(tmp_path_factory.mktemp("models"), (0, 30, None))


@pytest.fixture(scope="module")
def facts_file(tmp_path_factory) -> Path:
    return facts_case.write(tmp_path_factory.mktemp("facts") / "facts.jsonl", facts_case.facts())


@pytest.fixture(scope="module")
def request_(models, facts_file, tmp_path_factory) -> Request:
    out = tmp_path_factory.mktemp("studies") / "study"
    return Request(str(models[-1]), facts_file, out, tuple(map(str, models[:-1])), {}, SETTINGS)


@pytest.fixture(scope="module")
def done(request_) -> StudyFolder:
    return study_facts(request_)


def test_all_tables_and_figures_are_there_and_recorded(done) -> None:
    record = artifacts.read_json(done.path / "study.json")
    assert set(record["tables"]) == TABLES
    for name, digest in record["tables"].items():
        assert artifacts.sha256(done.table_path(name)) == digest
        assert len(done.table(name)), name
    figures = {path.name for path in (done.path / "figures").iterdir()}
    assert figures == {"faithfulness.svg", "hits.svg", "specificity.svg", "logit_lens.svg",
                       "evolution.svg", "heads-capital.svg", "heads-sea.svg",
                       "circuit-capital.html", "circuit-sea.html"}  # fmt: skip
    assert not (done.path / "parts").exists()


def test_the_record_says_what_the_numbers_depend_on(done, request_) -> None:
    of, made = done.record["of"], done.record["made_with"]
    assert of["facts"]["sha256"] == artifacts.sha256(request_.facts)
    assert len({model["sha256"] for model in of["models"]}) == 3
    assert of["settings"]["seed"] == 0 and made["versions"]["torch"] and "git" in made
    cost = done.record["cost"]
    assert set(cost["parts"]) == {"answers", "scores", "sizes", "transfer", "heads", "lens",
                                  "tables"}  # fmt: skip
    assert cost["cpu_seconds"] == pytest.approx(sum(cost["parts"].values()), abs=0.1)
    assert str(request_.out.parent) not in json.dumps(done.record)


def test_the_same_numbers_as_by_hand(done, models) -> None:
    bridge = boot_bridge(load_model(models[-1]), load_tokenizer(models[-1]))
    pairs = done.table("pairs").query("relation == 'capital'")
    sides = {side: PairBatch.from_frame(part) for side, part in pairs.groupby("split")}
    scores = attribute(bridge, sides["discover"], AttributionSettings(steps=3))
    stored = read_scores(done.path / "scores" / "checkpoint-002.safetensors")
    stored = stored["capital|known"]
    torch.testing.assert_close(stored, scores, rtol=1e-4, atol=1e-5 * float(scores.abs().max()))
    n = int(done.table("graph")["top_n"][0])
    graph = study.graph_of(bridge)
    result = evaluate_circuit(bridge, sides["evaluate"], top_n(stored, graph, n), "zero")
    row = done.table("transfer").query(
        "source_relation == relation == 'capital' and circuit == 'own' and ablation == 'zero'"
    )
    assert row["faithfulness"].item() == pytest.approx(result.faithfulness, rel=1e-4)
    assert row["hit"].item() == result.hit_at(10)
    last = done.table("topology").query("relation == 'capital' and checkpoint == 2")
    assert last["entropy"].item() == pytest.approx(entropy(scores, graph.real_edges), rel=1e-5)
    assert last["edge_jaccard"].item() == 1.0


def test_the_whole_model_as_a_circuit_is_the_clean_run(done) -> None:
    whole = done.table("sizes").query("share == 1.0")
    assert set(whole["ablation"]) == {"corrupted", "zero", "mean"}
    assert whole["faithfulness"].to_numpy() == pytest.approx(1.0, abs=1e-3)
    assert (whole["hit"] == whole["model_hit"]).all()


def test_a_random_circuit_is_worse_where_the_model_knows_the_facts(done) -> None:
    rows = done.table("transfer").query("ablation == 'corrupted' and source_relation == relation")
    for relation, part in rows.groupby("relation"):
        own, random = (part[part["circuit"] == name].iloc[0] for name in ("own", "random"))
        assert own["faithfulness_low"] > random["faithfulness_high"], relation
        assert own["model_hit"] == 1.0


def test_circuits_are_compared_on_the_same_facts(done) -> None:
    rows, pairs = done.table("transfer"), done.table("transfer_pairs")
    own = rows.query("source_relation == relation and circuit == 'own'")
    assert len(own) and (own[["own_more", "own_more_low", "own_more_high"]] == 0).all(axis=None)
    keys = ["relation", "group", "ablation"]
    others = rows.merge(own[[*keys, "faithfulness"]], on=keys, suffixes=("", "_own"))
    np.testing.assert_allclose(
        others["own_more"], others["faithfulness_own"] - others["faithfulness"], atol=1e-12
    )
    at = "relation == 'capital' and ablation == 'corrupted' and circuit == 'own'"
    found = rows.query(f"{at} and source_relation == 'sea'").iloc[0]
    sums = {
        source: part.groupby("subject")[["logit_diff", "clean_logit_diff", "corrupted_logit_diff"]]
        .sum().to_numpy()
        for source, part in pairs.query(at).groupby("source_relation")
    }  # fmt: skip
    rng, drawn = np.random.default_rng(1), []
    for _ in range(2000):
        some = rng.integers(len(sums["sea"]), size=len(sums["sea"]))
        f = {}
        for source, values in sums.items():
            circuit, clean, corrupted = values[some].sum(0)
            f[source] = (circuit - corrupted) / (clean - corrupted)
        drawn.append(f["capital"] - f["sea"])
    low, high = np.quantile(drawn, [0.025, 0.975])
    width = high - low
    assert found["own_more_low"] == pytest.approx(low, abs=0.25 * width)
    assert found["own_more_high"] == pytest.approx(high, abs=0.25 * width)
    both = [rows.query(f"{at} and source_relation == '{source}'").iloc[0] for source in sums]
    apart = sum(row["faithfulness_high"] - row["faithfulness_low"] for row in both)
    assert width < apart, "control: pairing says more than two intervals"


def test_checkpoints_give_the_evolution(done) -> None:
    shares = done.table("answers").groupby("checkpoint")["first_right"].mean()
    assert shares[0] < 0.2 and shares[2] == 1.0
    topology = done.table("topology").query("relation == 'sea'").set_index("checkpoint")
    assert topology["name"].tolist() == ["step-0", "step-1", "step-2"]
    assert topology["edge_jaccard_previous"].isna().tolist() == [True, False, False]
    files = [done.path / "scores" / f"checkpoint-{i:03d}.safetensors" for i in (0, 2)]
    graph, n = read_graph(done), int(done.table("graph")["top_n"][0])
    first, last = (top_n(read_scores(f)["sea|known"], graph, n).edges for f in files)
    assert topology["edge_jaccard"][0] == jaccard(first, last)


def read_graph(done: StudyFolder) -> study.Graph:
    row = done.table("graph").iloc[0]
    return study.Graph(int(row["n_layers"]), int(row["n_heads"]), bool(row["parallel"]))


def test_pairs_differ_in_the_subject_only_and_subjects_keep_to_one_side(done) -> None:
    pairs, facts = done.table("pairs"), done.table("facts")
    assert facts.groupby("subject")["split"].nunique().max() == 1
    for row in pairs.itertuples():
        assert row.clean.replace(row.subject, row.corrupted_subject) == row.corrupted
        assert len(row.clean_ids) == len(row.corrupted_ids) and row.right_id != row.wrong_id
        differ = [a != b for a, b in zip(row.clean_ids, row.corrupted_ids, strict=True)]
        outside = differ[: row.subject_start] + differ[row.subject_stop :]
        assert not any(outside)


def test_heads_split_what_they_read(done) -> None:
    heads = done.table("heads")
    parts = heads[["from_subject", "from_relation", "from_bos"]].sum(axis=1)
    assert parts.to_numpy() == pytest.approx(heads["total"].to_numpy(), abs=1e-9)
    assert set(heads["relation"]) == {"capital", "sea"}


def test_a_circuit_without_edges_has_no_drawing_and_all_other_figures(done, tmp_path) -> None:
    tables = {name: done.table(name) for name in TABLES}
    tables["strongest_edges"] = tables["strongest_edges"].query("relation == 'sea'")
    write_figures(tmp_path, tables)
    whole = {path.name for path in (done.path / "figures").iterdir()}
    assert whole - {path.name for path in tmp_path.iterdir()} == {"circuit-capital.html"}


def test_a_second_start_computes_nothing(done, request_, monkeypatch) -> None:
    before = {p: p.stat().st_mtime_ns for p in artifacts.files_below(done.path)}
    monkeypatch.setattr("kc_utils.facts.compute_study.Inquiry", None)
    study_facts(request_)
    assert before == {p: p.stat().st_mtime_ns for p in artifacts.files_below(done.path)}


def test_a_study_stopped_three_times_goes_on_and_ends_the_same(done, request_, tmp_path) -> None:
    class Stop(BaseException):
        """As a signal would."""

    again = Request(**vars(request_) | {"out": tmp_path / "study"})
    scored, spent = {}, {}
    for where in ("edge scores of sea", "sizes", "figures"):

        def say(text: str, where: str = where) -> None:
            if text.startswith(where):
                raise Stop

        with pytest.raises(Stop):
            study_facts(again, say)
        assert not (again.out / "tables").exists()
        with pytest.raises(KcError, match=r"holds an unfinished study; 'kc facts .*goes on"):
            Study.open(again.out)
        before, scored = scored, modified(again.out / "scores")
        assert before.items() <= scored.items(), "scores were computed again"
        earlier, spent = spent, artifacts.read_json(again.out / "study.json")["cost"]["parts"]
        assert all(spent[part] >= seconds for part, seconds in earlier.items())
    finished = study_facts(again)
    assert finished.record["tables"] == done.record["tables"]
    assert all(finished.record["cost"]["parts"][p] >= seconds for p, seconds in spent.items())
    assert scored == modified(again.out / "scores"), "scores were computed again"


def test_a_study_of_another_version_is_refused(done, tmp_path: Path) -> None:
    shutil.copytree(done.path, tmp_path / "old")
    record = artifacts.read_json(tmp_path / "old" / "study.json")
    record["of"]["version"] -= 1
    artifacts.write_json(tmp_path / "old" / "study.json", record)
    with pytest.raises(KcError, match="old holds a study of another version of kc"):
        Study.open(tmp_path / "old")
    assert Study.open(done.path).names, "control"


def modified(folder: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in folder.glob("*.safetensors")}


def test_what_a_kill_after_the_record_left_behind_goes(done, request_, tmp_path) -> None:
    place = tmp_path / "study"
    shutil.copytree(done.path, place)
    whole = sorted(p.relative_to(place) for p in place.rglob("*"))
    finished = Request(**vars(request_) | {"out": place})

    def litter() -> None:
        (place / "parts").mkdir()
        (place / "parts" / "heads-000.parquet").touch()
        (place / "scores" / "a.safetensors.sha256").touch()
        lock_file(place).touch()

    litter()
    assert study_facts(finished).record["tables"] == done.record["tables"]
    assert sorted(p.relative_to(place) for p in place.rglob("*")) == whole
    assert not lock_file(place).exists()
    litter()
    with locked(place):  # the control: its holder is still there, and tidies up itself
        assert study_facts(finished).done
        assert (place / "parts").exists()


def test_another_file_or_setting_is_not_mixed_in(done, request_, tmp_path) -> None:
    other = facts_case.write(tmp_path / "other.jsonl", facts_case.facts(answer=1))
    with pytest.raises(KcError, match="holds a study of other facts; choose another --out"):
        study_facts(Request(**vars(request_) | {"facts": other}))
    with pytest.raises(KcError, match="holds a study of other settings"):
        study_facts(Request(**vars(request_) | {"settings": FactSettings(pairs=7)}))
    with pytest.raises(KcError, match="holds a study of other models"):
        study_facts(Request(**vars(request_) | {"checkpoints": ()}))


def test_a_damaged_table_is_named(done, request_, tmp_path) -> None:
    copy = shutil.copytree(done.path, tmp_path / "copy")
    (copy / "tables" / "sizes.parquet").write_bytes(b"PAR1")
    with pytest.raises(KcError, match=r"sizes\.parquet is missing or damaged"):
        study_facts(Request(**vars(request_) | {"out": copy}))


def test_wrong_facts_are_a_group_of_their_own(models, tmp_path) -> None:
    rows = facts_case.facts()
    for row in rows[::2][:8]:  # the model says otherwise
        row["answer"] = "Homs" if row["answer"] != "Homs" else "Bonn"
    path = facts_case.write(tmp_path / "mixed.jsonl", rows)
    settings = FactSettings(pairs=4, top_share=0.3, shares=(0.3, 1.0), steps=1)
    request = Request(str(models[-1]), path, tmp_path / "mixed", settings=settings)
    counts = study_facts(request).table("relations").set_index(["relation", "group"])
    assert counts.loc[("capital", "known"), "facts"] == 10
    assert counts.loc[("capital", "unknown"), "facts"] == 8
    assert counts.loc[("capital", "unknown"), "right_first"] == 0
    assert counts.loc[("capital", "unknown"), "without_partner"] > 0  # most of them say Homs
    everything = settings.model_copy(update={"only_known": False})
    whole = Request(str(models[-1]), path, tmp_path / "all", settings=everything)
    assert set(study_facts(whole).table("relations")["group"]) == {"all"}


def test_a_model_that_knows_nothing_is_told_with_counts(models, facts_file, tmp_path) -> None:
    request = Request(str(models[0]), facts_file, tmp_path / "none", settings=SETTINGS)
    with pytest.raises(KcError, match=r"'capital' has 18 facts, 0 of them right.*--all-facts"):
        study_facts(request)
    assert not (tmp_path / "none").exists()


def test_the_command_line_says_what_it_found(models, facts_file, tmp_path) -> None:
    plain = [{k: v for k, v in row.items() if k != "prompt"} for row in facts_case.facts()]
    path = facts_case.write(tmp_path / "plain.jsonl", plain)
    done = kc(
        "facts", "--model", models[-1], "--facts", path, "--out", tmp_path / "out", "--pairs", "3",
        "--steps", "1", "--top-share", "0.3", "--template", f"capital={facts_case.CAPITAL}",
        "--template", f"sea={facts_case.SEA}",
    )  # fmt: skip
    assert "by the model's own check" in done.stdout and "capital known" in done.stdout
    assert pd.read_parquet(tmp_path / "out" / "tables" / "facts.parquet")["right"].all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "needs --model DIR and --facts FILE.jsonl"),
        (["--keep"], "it goes with --example only"),
        (["--example", "--facts", "x.jsonl"], "leave --model and --facts out"),
        (["--example", "--pairs", "-5"], "--pairs has no effect with --example; leave it out."),
        (["--example", "--all-facts"], "--only-known has no effect with --example"),
        (["--model", "m", "--facts", "f", "--template", "capital"], "is not RELATION=TEXT"),
        (["--model", "m", "--facts", "f", "--pairs", "0"], "--pairs 0 is not allowed"),
        (["--model", "m", "--facts", "f", "--top-share", "2"], "--top-share 2.0 is not allowed"),
        (
            ["--model", "m", "--facts", "f", "--known-by", "luck"],
            "--known-by 'luck' is not allowed",
        ),
    ],
)
def test_impossible_options_are_one_sentence(arguments, message) -> None:
    result = CliRunner().invoke(app, ["facts", *arguments])
    assert isinstance(result.exception, KcError) and message in str(result.exception)
