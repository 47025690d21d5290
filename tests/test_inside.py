"""Nobody but a run itself writes into its folder, whatever the command and the place."""

from __future__ import annotations

from pathlib import Path

import pytest
from conftest import kc
from test_cli import snapshot

from kc_utils.config import profiles
from kc_utils.errors import KcError
from kc_utils.runs.folder import Run
from kc_utils.runs.inside import refuse_inside_run, run_around


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run.create(tmp_path / "run", profiles.load("smoke"))


COMMANDS = {
    "run": ["run", "--profile", "smoke", "--no-notebooks", "--run-dir"],
    "sweep": ["sweep", "--profile", "smoke", "--seeds", "1", "--no-compute", "--out"],
    "export": ["sweep", "--profile", "smoke", "--seeds", "1", "--no-compute", "--export"],
    "facts": ["facts", "--model", "none", "--facts", "none.jsonl", "--out"],
    "base": ["base", "{run}", "--out"],
    "world": ["import-world", "none", "--out"],
    "student": ["student", "--out"],
    "slides": ["slides", "--run-dir", "{run}", "--out"],
    "reference": ["reference", "{run}", "--stage", "world", "--out"],
    "benchmark": ["benchmark", "--out"],
    "draw": ["draw", "none.json", "--out"],
}


#: Slides lie in their own run by default.
CASES = [
    (n, place) for n in COMMANDS for place in ("tables/x", "x") if (n, place) != ("slides", "x")
]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "inside"), CASES)
def test_every_command_that_writes_refuses_the_folder_of_a_run(
    run: Run, name: str, inside: str
) -> None:
    end = {"slides": ".html", "draw": ".json"}.get(name, "")
    before = snapshot(run.path)
    words = [word.format(run=run.path) for word in COMMANDS[name]]
    done = kc(*words, run.path / f"{inside}{end}", check=False, cwd=run.path.parent)
    said = done.stderr
    assert (done.returncode, len(said.splitlines())) == (2, 1), said
    assert f"lies in the folder of run '{run.path}'" in said, said
    assert snapshot(run.path) == before


def test_a_sweep_is_not_written_into_a_run_itself(run: Run) -> None:
    words = ("sweep", "--profile", "smoke", "--seeds", "1", "--no-compute", "--out", run.path)
    done = kc(*words, check=False, cwd=run.path.parent)
    assert done.returncode == 2 and "lies in the folder of run" in done.stderr
    assert "choose another --out." in done.stderr


def test_a_link_into_a_run_leads_into_it_and_one_out_of_it_does_not(run: Run) -> None:
    beside = run.path.parent / "beside"
    beside.mkdir()
    (beside / "in").symlink_to(run.path)
    (run.path / "out").symlink_to(beside)
    assert run_around(beside / "in" / "x") == run.path
    assert run_around(run.path / "out" / "x") is None


@pytest.mark.parametrize(
    ("content", "ours"),
    [
        ('{"config": {}, "stages": {}}', True),
        ('{"config": ', True),  # damaged: it was somebody's work
        ("[" * 100_000, True),
        ('{"id": "of another program"}', False),
        ("[]", False),
    ],
    ids=["run", "damaged", "deep", "other", "list"],
)
def test_only_records_of_runs_make_a_run(tmp_path: Path, content: str, ours: bool) -> None:
    (tmp_path / "run.json").write_text(content)
    assert (run_around(tmp_path / "a" / "b") is not None) == ours
    assert run_around(tmp_path) is None


def test_runs_of_a_project_and_seeds_of_a_sweep_lie_beside_each_other(tmp_path: Path) -> None:
    settings = profiles.load("smoke")
    for name in ("runs/one", "runs/two", "runs/sweep/smoke/seed-0", "runs/sweep/smoke/seed-1"):
        Run.create(tmp_path / name, settings)
    Run.create(tmp_path / "runs" / "one", settings)
    with pytest.raises(KcError, match="choose another --run-dir"):
        Run.create(tmp_path / "runs" / "one" / "runs" / "three", settings)
    assert sorted(p.name for p in (tmp_path / "runs" / "one").iterdir()) == ["run.json"]


def test_slides_may_lie_beside_the_record_of_their_own_run_only(run: Run) -> None:
    refuse_inside_run(run.path / "slides.html", "--out", but_in=run.path)
    with pytest.raises(KcError):
        refuse_inside_run(run.path / "figures" / "slides.html", "--out", but_in=run.path)
    other = Run.create(run.path.parent / "other", run.config)
    with pytest.raises(KcError):
        refuse_inside_run(other.path / "slides.html", "--out", but_in=run.path)
