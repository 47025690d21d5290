"""Names of relations that files, figures and tables could take for something else; many facts."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import facts_case
import numpy as np
import pandas as pd
import pytest
from rich.console import Console
from typer.testing import CliRunner

from kc_utils import plots
from kc_utils.cli import model_commands
from kc_utils.cli.app import app
from kc_utils.errors import KcError
from kc_utils.facts.lines import read_facts
from kc_utils.facts.study_figures import file_name, labels
from kc_utils.facts.study_folder import Study, StudyFolder
from kc_utils.plots.style import svg_bytes
from kc_utils.world.prompts import Query, pair_queries, with_partner

ODD = ["$x$", "a $", "[/x]", "[bold]b", "<i>&", "國" * 90, "x" * 100, "../up", "-", ".", r"\frac",
       "a_b^c", "new" * 20 + "1", "new" * 20 + "2"]  # fmt: skip


def message(tmp_path: Path, **changes: str) -> str:
    row = {"relation": "capital", "subject": "Oz", "prompt": "The capital of Oz is", "answer": "E"}
    with pytest.raises(KcError) as caught:
        read_facts(facts_case.write(tmp_path / "facts.jsonl", [row | changes]))
    assert len(str(caught.value)) < 700
    return str(caught.value)


def test_texts_that_cannot_be_shown_are_refused_before_anything_is_computed(tmp_path) -> None:
    for sign in ("\x00", "\x1b", "\n", "\u2028", "\x85"):
        assert "cannot be shown" in message(tmp_path, relation=f"a{sign}b")
    for name in ("subject", "answer", "prompt"):
        assert "cannot be shown" in message(tmp_path, **{name: "The\x00Oz", "subject": "Oz"} | (
            {"subject": "a\x00b"} if name == "subject" else {}))  # fmt: skip
    assert "not a text" in message(tmp_path, relation="a\ud800b")
    assert "relation has 300 characters; at most 100" in message(tmp_path, relation="x" * 300)
    assert "answer has 10000000 characters" in message(tmp_path, answer="x" * 10**7)
    good = {"relation": "國" * 90, "subject": "Oz", "prompt": "Q:\n\tOz?", "answer": "E"}
    assert read_facts(facts_case.write(tmp_path / "good.jsonl", [good]))[0].prompt == "Q:\n\tOz?"


def test_lists_inside_of_lists_are_a_bad_line(tmp_path) -> None:
    path = facts_case.write(tmp_path / "facts.jsonl", ["[" * 100_000])
    with pytest.raises(KcError, match="1 bad line:\n  line 1: not JSON"):
        read_facts(path)


def test_every_relation_gives_a_file_name_of_its_own_that_a_disk_takes(tmp_path) -> None:
    used: set[str] = set()
    for relation in [*ODD, "x" * 90 + "é", "x" * 90 + "ü"]:
        name = file_name(relation, used)
        used.add(name)
        (tmp_path / f".circuit-{name}.html.1234567.partial").write_text("")
    assert len(used) == len(list(tmp_path.iterdir())) == len(ODD) + 2
    assert file_name("capital city", set()) == "capital-city"


def test_relations_are_written_into_figures_as_they_are() -> None:
    written = labels([*ODD, "capital"])
    assert written["capital"] == "capital" and len(set(written.values())) == len(ODD) + 1
    assert max(map(len, written.values())) < 60
    rows = [
        {"source_relation": label, "source_group": "all", "relation": label, "group": "all",
         "circuit": circuit, "ablation": "corrupted", "hit": 0.5, "hit_low": 0.4, "hit_high": 0.6,
         "model_hit": 0.7}
        for label in written.values() for circuit in ("own", "random")
    ]  # fmt: skip
    figure = plots.facts_hits(pd.DataFrame(rows))
    shown = {t.get_text() for t in figure.axes[0].get_yticklabels()}
    assert r"\$x\$ all" in shown
    ElementTree.fromstring(svg_bytes(figure))
    with pytest.raises(ValueError, match=r"\\frac"):  # control
        svg_bytes(plots.facts_hits(pd.DataFrame(rows).replace(rows[0]["relation"], r"$\\frac$")))


def test_tables_on_the_screen_take_relations_for_texts(monkeypatch) -> None:
    console = Console(width=200, record=True, file=open("/dev/null", "w"))
    monkeypatch.setattr(model_commands, "console", console)
    row = {"relation": "[/x]", "group": "all", "source_relation": "[/x]", "source_group": "all",
           "circuit": "own", "ablation": "corrupted", "faithfulness": 1.0, "hit": 1.0,
           "model_hit": 1.0, "facts": 1, "right_first": 1, "right_whole": 1, "without_partner": 0,
           "discover_pairs": 1, "evaluate_pairs": 1}  # fmt: skip

    class Folder:
        path = Path("runs/[/facts]")

        def table(self, name: str) -> pd.DataFrame:
            return pd.DataFrame([row])

    model_commands._show(Folder())
    text = console.export_text()
    assert text.count("[/x] all") == 2 and "runs/[/facts]" in text


def test_a_circuit_on_facts_that_the_model_does_not_know_says_so() -> None:
    rows = {"relation": ["known", "unknown", "apart"], "group": ["all", "all", "unknown"],
            "facts": 10, "right_first": [5, 4, 0]}  # fmt: skip
    (said,) = model_commands._not_known(pd.DataFrame(rows))
    assert said.startswith("'unknown': the model begins 4 of 10 answers right")


@pytest.mark.slow
def test_a_study_of_relations_with_odd_names_is_finished_and_shown(tmp_path) -> None:
    names = {"capital": "$x$ [/x] <b>", "sea": "國" * 90}
    rows = [row | {"relation": names[row["relation"]]} for row in facts_case.facts()]
    path = facts_case.write(tmp_path / "facts.jsonl", rows)
    (model,) = facts_case.folders(tmp_path, (1,))
    out = tmp_path / "out"
    asked = ["facts", "--model", str(model), "--facts", str(path), "--out", str(out),
             "--pairs", "2", "--steps", "1", "--all-facts", "--top-share", "0.3"]  # fmt: skip
    done = CliRunner().invoke(app, asked, env={"COLUMNS": "400"})
    assert done.exit_code == 0, done.output
    assert "$x$ [/x] <b>" in done.output
    figures = [file.name for file in (out / "figures").iterdir()]
    assert len([name for name in figures if name.startswith("heads-")]) == 2
    for file in (out / "figures").glob("*.svg"):
        ElementTree.parse(file)
    assert set(StudyFolder(out, Study.open(out).record["of"]).table("facts")["relation"]) == {
        *names.values()
    }


def queries(n: int, answers: int, lengths: int, seed: int = 0) -> list[Query]:
    rng = np.random.default_rng(seed)
    return [
        Query(i, f"q{i}", tuple(range(3 + int(rng.integers(lengths)))), (0, 1), "a",
              int(rng.integers(answers)), "form")
        for i in range(n)
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("n", "answers", "lengths"), [(30, 3, 4), (9, 1, 1), (12, 12, 1), (0, 1, 1)]
)
def test_partners_are_those_of_all_pairs_and_the_first_pairs_stay_the_same(
    n, answers, lengths
) -> None:
    asked = queries(n, answers, lengths)
    every = pair_queries(asked, n**2 + 1, 0, np.random.default_rng(5))
    assert with_partner(asked) == {clean.person_id for clean, _ in every}
    alike = [(a, b) for a in asked for b in asked if a.answer_id != b.answer_id and a.ids == b.ids]
    assert len(every) == len(alike)
    for most in (1, 5, 17):
        some = pair_queries(asked, most, 0, np.random.default_rng(5))
        assert some == every[:most]


def test_subjects_are_drawn_as_from_their_names() -> None:
    names = [f"name {i}" for i in range(50)]
    rows, order = (np.random.default_rng([3, 43]).permutation(x) for x in (names, len(names)))
    assert rows.tolist() == [names[i] for i in order]


MANY = """
import resource
import numpy as np, pandas as pd
from kc_utils.facts.pairing import FactSettings, make_pairs, with_groups
from kc_utils.world.prompts import Query
n = 100_000
rng = np.random.default_rng(0)
asked = [Query(i, f"The capital of {i} is", tuple(range(9)), (3, 4), "a", int(a), "form")
         for i, a in enumerate(rng.integers(50, size=n))]
subjects = [f"s{i}" for i in range(n)]
facts = pd.DataFrame({"line": range(n), "relation": "capital", "subject": subjects,
                      "first_right": True, "whole_right": True})
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
settings = FactSettings()
pairs, facts = make_pairs(with_groups(facts, settings), asked, settings)
assert len(pairs) == 80 and facts["partner"].all()
assert facts["split"].value_counts().eq(n // 2).all()
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


@pytest.mark.slow
def test_a_hundred_thousand_facts_are_paired_in_little_memory() -> None:
    done = subprocess.run([sys.executable, "-c", MANY], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    assert int(done.stdout) < 300  # MiB beyond the facts; all pairs would be 2.5 billion


@pytest.mark.parametrize(
    "text",
    ["[]", "7", "null", "{}", '{"key": 1, "of": {}, "tables": {}}',
     '{"key": "k", "of": [], "tables": {}}', '{"key": "k", "of": {}, "tables": ["a"]}',
     '{"key": "k", "of": {}, "tables": {"a": 1}}',
     '{"key": "k", "of": {}, "tables": {"../a": "d"}}',
     '{"key": "k", "of": {}, "tables": {}, "cost": 5}',
     '{"key": "k", "of": {}, "tables": {}, "cost": {"parts": {"a": "b"}, "peak_memory_mib": 1}}'],
)  # fmt: skip
def test_a_record_of_another_shape_is_damaged(text, tmp_path) -> None:
    (tmp_path / "study.json").write_text(text)
    with pytest.raises(KcError, match=r"study\.json is damaged"):
        StudyFolder(tmp_path, {"facts": 1, "models": [], "settings": {}})


def test_records_as_they_are_written_are_read(tmp_path) -> None:
    of = {"facts": 1, "models": [], "settings": {}}
    StudyFolder(tmp_path / "new", of).open()
    assert not StudyFolder(tmp_path / "new", of).done
    with pytest.raises(KcError, match="holds a study of other facts"):
        StudyFolder(tmp_path / "new", of | {"facts": 2})
