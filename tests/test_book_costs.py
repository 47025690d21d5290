"""Generated tables of costs and records, and the minutes of the instructor's plans."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from conftest import ROOT

from kc_utils import artifacts
from kc_utils.book import cost_tables, reference_tables, run_tables
from kc_utils.config import profiles
from kc_utils.errors import KcError
from kc_utils.runs.dataset import SweepTables
from kc_utils.runs.folder import Run
from kc_utils.runs.peak_memory import PeakMemory
from kc_utils.runs.stage import Stage, Stages
from kc_utils.study import recompute
from kc_utils.study.stages import STAGES

TINY = profiles.load("tiny")
MIB = 2**20


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """A run whose every stage took a minute and 100 MiB, and one notebook half a minute."""
    run = Run.create(tmp_path / "run", TINY)
    for stage in STAGES.study:
        key = STAGES.key(TINY, stage.name)
        record = {"key": key, "seconds": 60.0, "peak_bytes": 100 * MIB, "wrote": {}}
        run.record["stages"][stage.name] = record
    run.record["notebooks"]["08_forgetting"] = {
        "key": "x",
        "seconds": 30.0,
        "peak_bytes": 300 * MIB,
    }
    return run


def row(text: str, first: str) -> list[str]:
    (line,) = (line for line in text.splitlines() if line.startswith(f"| `{first}` |"))
    return [cell.strip() for cell in line.strip("|").split(" | ")]


def test_what_a_parameter_computes_again_follows_from_the_keys() -> None:
    epochs, top_n = (recompute.stages_of(TINY, n) for n in ("training.epochs", "circuit.top_n"))
    assert epochs[0] == "training" and "attribution" in epochs and "base" not in epochs
    assert "circuit" in top_n and not {"training", "attribution"} & set(top_n)
    assert recompute.stages_of(TINY, "circuit.batch_size") == []
    assert recompute.stages_of(TINY, "seed") == [stage.name for stage in STAGES]


@pytest.mark.parametrize("profile", ["smoke", "tiny", "tiny-llama", "smollm2-mini"])
def test_every_parameter_of_a_profile_has_another_value(profile: str) -> None:
    settings = profiles.load(profile)
    for name in recompute.parameter_names():
        assert recompute.changed(settings, name) != settings


def test_an_unknown_parameter_is_refused() -> None:
    with pytest.raises(KcError, match=r"'circuit\.ig_steps'"):
        recompute.stages_of(TINY, "circuit.ig_steps")


def test_notebooks_follow_the_stages_before_them() -> None:
    books = recompute.notebooks_of(["forgetting"])
    assert "08_forgetting" in books and "07_components" not in books
    assert recompute.notebooks_of([]) == []


def test_costs_are_the_seconds_of_what_is_computed_again(run: Run) -> None:
    text = cost_tables.costs(run, {"circuit.steps": 1.5})
    _, value, first, minutes, share, memory, more, _ = row(text, "forgetting.steps")
    # forgetting and claims, a minute each, and the notebook
    assert (value, first, minutes) == ("`300`", "`forgetting`", "2.5")
    assert (share, memory, more) == (
        f"{150 / (60 * len(STAGES.study) + 30):.0%}",
        "300 MiB",
        "+1.0 min",
    )
    assert row(text, "circuit.steps")[6] == "+1.0 min (× 1.50, measured)"
    assert row(text, "circuit.every")[6] == "−2.5 min"
    assert set(cost_tables.ROWS) <= set(recompute.parameter_names())


def test_every_growing_stage_is_computed_again() -> None:
    for name, growth in cost_tables.ROWS.items():
        assert set(growth.stages) <= set(recompute.stages_of(TINY, name)), name


def test_runs_of_the_sweep_and_of_the_real_model_are_named(run: Run, tmp_path: Path) -> None:
    reference = ROOT / "book" / "reference"
    seed = SweepTables.open(reference / "sweep").runs["seed"].min()
    assert f"seed {seed} of the sweep" in cost_tables.whole_runs(run, reference)
    assert "`smollm2`" in cost_tables.whole_runs(run, reference)
    assert f"| `tiny` | `{seed}` |" in run_tables.sweep_runs(reference / "sweep")
    assert "no stored sweep" in run_tables.sweep_runs(tmp_path)
    assert "`tiny-llama`" in run_tables.stored_runs(reference)


def test_the_stored_study_of_facts_shows_what_its_parts_took(tmp_path: Path) -> None:
    stored = ROOT / "book" / "reference" / "capitals"
    cost = artifacts.read_json(stored / "study.json")["cost"]
    assert sum(cost["parts"].values()) == pytest.approx(cost["cpu_seconds"], abs=0.1)
    text = cost_tables.facts_costs(stored)
    assert f"took {cost['cpu_seconds'] / 60:.1f} minutes" in text
    assert len([line for line in text.splitlines() if line.startswith("| ")]) == 8 + 1
    assert "No study" in cost_tables.facts_costs(tmp_path)


def test_stages_show_seconds_share_and_memory(run: Run) -> None:
    text = run_tables.seconds_of_stages(run)
    assert row(text, "training")[1:4] == ["60.0", f"{1 / len(STAGES.study):.0%}", "100 MiB"]
    assert row(run_tables.notebooks(run), "08_forgetting") == [
        "`08_forgetting`",
        "30.0",
        "",
        "300 MiB",
    ]
    del run.record["stages"]["training"]["peak_bytes"]
    assert row(run_tables.seconds_of_stages(run), "training")[3] == "not recorded"


@pytest.mark.slow
def test_every_random_stream_is_found(tmp_path: Path) -> None:
    (tmp_path / "one.py").write_text(
        '"""A module."""\nSTREAM = 7\ndef draw(seed):\n    """Draw people. More."""\n'
        "    return np.random.default_rng([seed, STREAM])\ndef fixed():\n    return 4\n"
    )
    found = list(reference_tables.random_sources(tmp_path))
    assert found == [("one.py", "draw", "Draw people", "np.random.default_rng([seed, 7])")]
    text = reference_tables.random_streams(ROOT / "kc_utils")
    assert "`epoch_order`" in text and "`make_model`" in text


def test_memory_of_this_process_and_its_children_is_seen() -> None:
    with PeakMemory() as quiet:
        pass
    code = "import sys; x = b'x' * 200_000_000; print('held', flush=True); sys.stdin.read()"
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with PeakMemory() as peak, subprocess.Popen([sys.executable, "-c", code], **pipes) as child:
        child.stdout.readline()
        for _ in range(1200):  # it is looked at while it is held, however late
            if (seen := peak.bytes - quiet.bytes) > 150_000_000:
                break
            time.sleep(0.1)
        child.stdin.close()
    assert seen > 150_000_000


@pytest.mark.skipif(not psutil.LINUX, reason="only Linux tells")
def test_what_forks_share_counts_once() -> None:
    # In a small process of its own: this one shares libraries with whatever else is running.
    code = (
        "import os, signal; from kc_utils.runs.peak_memory import PeakMemory\n"
        "x = b'x' * 200_000_000; fork = os.fork() or signal.pause()\n"
        "for forks in (True, False):\n"
        "    with PeakMemory(forks=forks) as peak: pass\n"
        "    print(peak.bytes, flush=True)\n"
        "os.kill(fork, 9)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    shared, each = map(int, done.stdout.split())
    assert 200_000_000 < shared < 300_000_000 and 400_000_000 < each < 500_000_000


def test_a_stage_records_its_peak(tmp_path: Path) -> None:
    stages = Stages((Stage("one", "01", (), lambda c: 1, lambda work: None),))
    run = Run.create(tmp_path / "run", TINY)
    stages.ensure(run, "one")
    assert Run.open(run.path).record["stages"]["one"]["peak_bytes"] > 10 * MIB


def test_minutes_of_the_plans_add_up() -> None:
    plans = (ROOT / "book" / "teaching.md").read_text().split("| minutes | block")[1:]
    assert len(plans) == 3
    for plan in plans:
        minutes = [int(n) for n in re.findall(r"^\| (\d+) \|", plan, flags=re.MULTILINE)]
        total = re.search(r"^\| \*\*(\d+)\*\*", plan, flags=re.MULTILINE)
        assert total and sum(minutes) == int(total[1])


def test_the_exercises_of_a_block_exist_and_fit_into_it() -> None:
    """Those for the quick ones need not fit."""
    minutes = exercise_minutes()
    if not minutes:
        pytest.skip("no exercises in this checkout")
    blocks = re.findall(
        r"^\| (\d+) \| Exercises \| group \d: ([^|;]+)([^|]*)\|",
        (ROOT / "book" / "teaching.md").read_text(), flags=re.MULTILINE,
    )  # fmt: skip
    assert len(blocks) == 9
    for block, named, quick in blocks:
        assert sum(minutes[n] for n in numbers(named)) <= int(block), named
        assert set(numbers(quick)) <= set(minutes)


def exercise_minutes() -> dict[str, int]:
    """Minutes of every exercise, from the headings of the notebooks."""
    text = "".join(p.read_text() for p in (ROOT / "notebooks" / "exercises").glob("*.ipynb"))
    found = re.findall(r"## Exercise (\d\.\d):.*?about (\d+) minutes", text, flags=re.DOTALL)
    return {number: int(minutes) for number, minutes in found}


def numbers(text: str) -> list[str]:
    """Numbers of exercises in a cell of a plan; ``1.1 to 1.3`` are three."""
    found = []
    for first, last in re.findall(r"(\d\.\d)(?: to (\d\.\d))?", text):
        group, start = first.split(".")
        end = (last or first).split(".")[1]
        found += [f"{group}.{i}" for i in range(int(start), int(end) + 1)]
    return found
