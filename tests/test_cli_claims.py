"""``kc claims`` reads a sweep, judges it when called, and prints it for people and programs."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
from conftest import ROOT, kc
from ledger_rows import ledgers, write_sweep

from kc_utils import artifacts
from kc_utils.errors import KcError
from kc_utils.runs.dataset import SweepTables
from kc_utils.study.sweep_ledger import ledger_of

KEPT = ROOT / "book" / "reference" / "sweep"
NEEDED = {"id", "claim", "claimed_by", "profile", "quantity", "effect", "interval", "n_seeds",
          "control", "control_effect", "difference", "test", "margin", "margin_reason", "verdict",
          "main", "exploratory", "q_for", "q_against", "shuffled_verdict"}  # fmt: skip


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two claims over three seeds of a real profile, and over as many with shuffled answers."""
    holds, none = [0.5, 0.6, 0.55], [0.0, 0.01, -0.01]
    frames = [
        ledgers(holds, id="strategy-names-first-efficiency", main=True, profile="tiny"),
        ledgers(none, id="b", exploratory=True, profile="tiny"),
        ledgers([0.05, 0.06, 0.055], id="c", profile="tiny"),
        ledgers(none, id="strategy-names-first-efficiency", profile="tiny-shuffled"),
        ledgers([-0.5, -0.6, -0.55], id="b", profile="tiny-shuffled"),
    ]
    evidence = pd.concat(frames, ignore_index=True)
    return write_sweep(tmp_path_factory.mktemp("sweep"), evidence=evidence)


def test_the_command_prints_what_the_tables_say(sweep: Path) -> None:
    shown = kc("claims", "--sweep", sweep).stdout
    table = shown[: shown.index("In 3 runs")]  # this sentence wraps at the width of the terminal
    assert max(map(len, table.splitlines())) <= 80
    rows = [line for line in shown.splitlines() if "strategy-names-first-efficiency" in line]
    assert len(rows) == 1 and rows[0].split()[-1] == "holds"
    assert "real, small?" in shown and "b*" in shown and "no effect" in shown
    said = " ".join(shown.split())
    assert (
        "In 3 runs of models built like GPT-2, trained on shuffled answers, the verdict" in said
        and "`" not in said
    )


def test_programs_get_every_field_and_can_ask_for_less(sweep: Path) -> None:
    found = json.loads(kc("claims", "--json", "--sweep", sweep).stdout)
    assert [entry["profile"] for entry in found] == ["tiny"] * 3
    assert all(set(entry) >= NEEDED for entry in found)
    assert [e["shuffled_verdict"] for e in found] == ["no effect", "opposite", "not measured"]
    main = json.loads(kc("claims", "--json", "--main", "--sweep", sweep).stdout)
    assert [entry["id"] for entry in main] == ["strategy-names-first-efficiency"]
    control = json.loads(
        kc("claims", "--json", "--profile", "tiny-shuffled", "--sweep", sweep).stdout
    )
    assert [entry["verdict"] for entry in control] == ["no effect", "opposite"]


def test_mistakes_are_one_sentence(sweep: Path, tmp_path: Path) -> None:
    missing = kc("claims", "--sweep", tmp_path, check=False)
    assert missing.returncode == 2
    assert missing.stderr.count("\n") == 1 and "kc sweep" in missing.stderr
    with pytest.raises(KcError, match="no profile 'tinny'; allowed are tiny, tiny-shuffled"):
        ledger_of(SweepTables.open(sweep), "tinny")


def test_a_changed_table_changes_the_verdict_and_an_edited_one_is_refused(
    sweep: Path, tmp_path: Path
) -> None:
    table = pd.read_parquet(sweep / "evidence.parquet")
    # Nothing is stored but what the runs measured: turn the effect round and the verdict turns.
    turned = table.assign(value=-table["value"])
    artifacts.write_parquet(tmp_path / "evidence.parquet", turned)
    artifacts.write_json(tmp_path / "sweep.json", artifacts.read_json(sweep / "sweep.json"))
    with pytest.raises(KcError, match=r"evidence\.parquet"):
        ledger_of(SweepTables.open(tmp_path))
    write_sweep(tmp_path, evidence=turned)
    before, after = (
        ledger_of(SweepTables.open(folder), "tiny")["verdict"].tolist()
        for folder in (sweep, tmp_path)
    )
    assert before == ["holds", "no effect", "real, perhaps too small"]
    assert after == ["opposite", "no effect", "no effect"]


def test_the_stored_sweep_is_small_whole_and_says_where_it_comes_from() -> None:
    sweep = SweepTables.open(KEPT)
    files = [p for p in KEPT.iterdir() if p.suffix == ".parquet"]
    assert sum(p.stat().st_size for p in files) <= 8_000_000
    assert {p.stem for p in files} == set(sweep.names)
    for name in sweep.names:  # digests are checked
        assert list(sweep.table(name).columns[:2]) == ["profile", "seed"]
    assert {"profile", "seed", "git", "python"} <= set(sweep.runs)
    text = (KEPT / "sweep.json").read_text()
    assert str(Path.home()) + "/" not in text and str(ROOT) not in text
