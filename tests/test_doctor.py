"""``kc doctor``: what is missing is named with its repair, and estimates follow the measurement."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from benchmarks.sizes import TOY
from conftest import ROOT, environment, kc
from fake_clock import Clock

from kc_utils import artifacts
from kc_utils.cli.doctor import check_installation as installed
from kc_utils.cli.doctor import check_machine, costs, speed, timing
from kc_utils.cli.doctor.check_installation import GIB, Finding, safely
from kc_utils.cli.doctor.check_machine import check_run
from kc_utils.cli.doctor.costs import EXPERIMENTS, KINDS, Costs, Speed, estimates
from kc_utils.cli.doctor.costs import path_of as costs_path_of
from kc_utils.cli.doctor.examine import Report, examine
from kc_utils.errors import KcError
from kc_utils.runs.folder import Run
from kc_utils.study.stages import STAGES

SPEED = Speed(training=0.1, training_one_thread=0.1, attribution_one_thread=0.2, cores=2)
COSTS = Costs(
    profile="tiny", git="abc", machine="here", speed=SPEED,
    stages={name: {"seconds": 60.0, "peak_bytes": GIB} for name in KINDS if name != "methods"},
    notebooks={"01_data_synthesis": {"seconds": 10.0}}, other={}, run_bytes=GIB, growth={},
)  # fmt: skip
NOTEBOOKS = ["01_data_synthesis", "02_training"]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project that pins three packages; one of them is for tests only."""
    (tmp_path / "requirements.lock").write_text("numpy==2.4.6\ntorch==2.13.0\nnbval==0.11.0\n")
    (tmp_path / "pyproject.toml").write_text(
        '[project]\nname = "x"\n[project.optional-dependencies]\ntest = ["nbval>=0.11,<0.12"]\n'
    )
    return tmp_path


def packages(project: Path, **versions: str) -> dict[str, Finding]:
    found = installed.check_packages(project, versions.get)
    return {finding.name: finding for finding in found}


def test_what_is_installed_as_pinned_is_ok(project: Path) -> None:
    found = packages(project, numpy="2.4.6", torch="2.13.0+cpu", nbval="0.11.0")
    assert [f.state for f in found.values()] == ["ok"]
    assert "3 of 3" in found["packages"].found


def test_a_missing_package_is_named_with_its_repair(project: Path) -> None:
    found = packages(project, numpy="2.4.6", nbval="0.11.0")["packages"]
    assert (found.state, found.found) == ("missing", "torch")
    assert "requirements.lock" in found.repair or found.repair == "make install"


def test_another_version_and_a_package_for_tests_are_warnings(project: Path) -> None:
    found = packages(project, numpy="2.4.5", torch="2.13.0")
    assert {f.state for f in found.values()} == {"warning"}
    assert "numpy 2.4.5 instead of 2.4.6" in found["package versions"].found
    assert "nbval" in found["packages for tests"].found


def test_without_a_lock_nothing_is_compared(tmp_path: Path) -> None:
    assert installed.check_packages(tmp_path)[0].state == "warning"


@pytest.mark.parametrize(
    ("version", "state"),
    [
        ((3, 10, 9), "missing"),
        ((3, 11, 7), "ok"),
        ((3, 12, 0), "ok"),
        ((3, 13, 0), "ok"),
        ((3, 14, 0), "missing"),
    ],
)
def test_python_versions(version: tuple[int, ...], state: str) -> None:
    (found,) = installed.check_python(version)
    assert found.state == state
    assert bool(found.repair) == (state == "missing")


def test_whatever_a_check_raises_is_a_line() -> None:
    def broken() -> list[Finding]:
        raise ModuleNotFoundError("No module named 'pandas'")

    def worse() -> list[Finding]:
        raise ValueError("first\nsecond")

    assert "pandas" in safely("library", broken)[0].found
    assert safely("x", worse)[0].found == "first"
    assert {safely("x", check)[0].state for check in (broken, worse)} == {"missing"}


def test_a_kernel_that_is_not_there_or_is_another_python() -> None:
    assert installed.check_kernel("no-such-kernel")[0].state == "missing"
    other = installed._judge_kernel(["/usr/bin/python3", "x"], "python3", "repair")
    assert (other[0].state, other[0].repair) == ("warning", "repair")
    elsewhere = installed._judge_kernel([sys.executable, "/elsewhere"], "python3", "repair")
    assert elsewhere[0].state == "missing" and "--editable" in elsewhere[0].repair


@pytest.mark.parametrize(
    ("free", "state"), [(GIB // 2, "missing"), (5 * GIB // 4, "warning"), (2 * GIB, "ok")]
)
def test_memory_and_disk_against_the_reference_run(free: int, state: str) -> None:
    assert check_machine.check_memory(COSTS, free)[0].state == state
    assert check_machine.check_disk(COSTS, free=free)[0].state == state


def test_a_busy_machine_is_a_warning() -> None:
    assert check_machine.check_cores(2, load=3.5)[0].state == "warning"
    assert check_machine.check_cores(2, load=0.3)[0].state == "ok"


def test_no_run_is_missing_and_says_how_to_make_one(tmp_path: Path) -> None:
    (found,) = check_run(tmp_path / "none")
    assert found.state == "missing" and found.repair.startswith("kc run --profile tiny")


def test_a_finished_run_is_ok(smoke_run: Path) -> None:
    found = check_run(smoke_run)
    assert found[0].state == "ok" and "profile smoke" in found[0].found


def test_what_a_run_lacks_is_named(own_run: Path) -> None:
    run = Run.open(own_run)
    run.table_path("topology").unlink()
    (damaged,) = check_run(own_run)
    assert "topology.parquet" in damaged.found and damaged.repair.endswith("--from topology")
    del run.record["stages"]["topology"]
    run.save()
    (found,) = check_run(own_run)
    assert found.found.endswith(": topology")
    # circuits of another size are not what this run holds; its own size has to be kept
    run.record["config"]["circuit"]["top_n"] = 20
    run.save()
    (found,) = check_run(own_run)
    assert "circuit" in found.found and "--set circuit.top_n=20" in found.repair


def test_every_stage_has_a_kind() -> None:
    assert set(KINDS) == {stage.name for stage in STAGES}
    assert set(EXPERIMENTS) == {stage.name for stage in STAGES if stage.group == "experiment"}


def test_estimates_scale_with_the_measurement() -> None:
    seed = dict.fromkeys(KINDS, 30.0)
    slower = Speed(*(2 * s for s in (0.1, 0.1, 0.2)), cores=2)
    same = estimates(COSTS, SPEED, NOTEBOOKS, seed)
    twice = estimates(COSTS, slower, NOTEBOOKS, seed)
    assert [e.here for e in same] == pytest.approx([e.there for e in same])
    assert [e.here for e in twice] == pytest.approx([2 * e.there for e in twice])
    assert {e.what for e in same} >= {"make book, profile tiny", "notebook 01_data_synthesis"}


def test_more_cores_help_jobs_and_not_one_seed() -> None:
    seed = dict.fromkeys(KINDS, 30.0)
    book, one, notebook = estimates(COSTS, replace(SPEED, cores=8), NOTEBOOKS, seed)
    assert book.here < book.there
    assert one.here == pytest.approx(one.there) and notebook.here == pytest.approx(notebook.there)


def test_notebooks_of_a_book_share_the_cores() -> None:
    pages = {f"{i}": {"seconds": 10.0, "peak_bytes": i * GIB} for i in range(1, 5)}
    kept = replace(COSTS, stages={}, notebooks=pages)
    four = replace(SPEED, cores=4)
    assert estimates(kept, SPEED, list(pages), None)[0].here == pytest.approx(40 / 2)
    assert estimates(kept, four, list(pages), None)[0].here == pytest.approx(40 / 4)
    assert kept.peak_bytes() == (4 + 3) * GIB
    assert replace(kept, speed=replace(SPEED, cores=1)).peak_bytes() == 4 * GIB


def test_exercises_are_summed_up() -> None:
    pages = {f"exercises/e{i}": {"seconds": 12.0} for i in (1, 2)}
    found = estimates(replace(COSTS, notebooks=pages), SPEED, NOTEBOOKS, None)
    (total,) = (e for e in found if e.what.startswith("all exercises"))
    assert total.here == pytest.approx(24)


def test_an_estimate_says_what_the_record_lacks() -> None:
    book = estimates(COSTS, SPEED, NOTEBOOKS, None)[0]
    assert book.lacks == ("stage methods", "1 of 2 notebooks", "building the pages")


def test_costs_of_a_run_are_kept_and_read(smoke_run: Path, tmp_path: Path) -> None:
    kept = costs.keep(smoke_run, SPEED, {"circuit.steps": 1.9}, tmp_path / "costs.json")
    assert costs.read(tmp_path / "costs.json") == kept
    assert kept.stages["training"]["seconds"] > 0 and kept.run_bytes > 100_000
    assert str(smoke_run) not in (tmp_path / "costs.json").read_text()


def test_every_profile_has_a_record_of_its_own(
    smoke_run: Path, tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.setattr(costs, "path_of", lambda name: costs_path_of(name, tmp_path))
    kept = costs.keep(smoke_run, SPEED, {})
    assert [p.name for p in tmp_path.iterdir()] == ["costs-smoke.json"]
    assert costs.read(costs_path_of("smoke", tmp_path)) == kept
    assert costs_path_of("tiny", tmp_path).name == "costs.json"


def test_costs_of_an_unfinished_run_are_refused(own_run: Path, tmp_path: Path) -> None:
    run = Run.open(own_run)
    del run.record["stages"]["training"]
    run.save()
    with pytest.raises(KcError, match="stage 'training' is missing"):
        costs.keep(own_run, SPEED, {}, tmp_path / "costs.json")
    assert not (tmp_path / "costs.json").exists()


def test_a_damaged_record_is_refused_and_none_is_none(tmp_path: Path) -> None:
    path = tmp_path / "costs.json"
    assert costs.read(path) is None
    path.write_text("{")
    with pytest.raises(KcError, match=r"costs\.json is damaged"):
        costs.read(path)
    artifacts.write_json(path, {"speed": {"training": 1.0}})
    with pytest.raises(KcError, match=r"costs\.json is damaged"):
        costs.read(path)


def test_the_stored_record_names_only_what_exists() -> None:
    kept = costs.read()
    if kept is not None:
        assert set(kept.stages) <= set(KINDS) and kept.speed.cores >= 1


def test_seconds_of_a_seed_come_from_the_same_machine(tmp_path: Path) -> None:
    runs = [
        {"profile": "tiny", "machine": "here", "seconds": {"world": s, "base": 10.0}}
        for s in (1.0, 3.0)
    ]
    path = tmp_path / "sweep.json"
    artifacts.write_json(path, {"runs": runs})
    assert costs.sweep_seconds("tiny", "here", path) == {"base": 10.0, "world": 2.0}
    assert costs.sweep_seconds("tiny", "elsewhere", path) is None


def test_the_least_time_counts_and_the_first_round_does_not(clock: Clock) -> None:
    taken = iter([0.1, 0.5, 0.2, 0.4])
    found = timing.least(lambda: clock.work(next(taken)), seconds=0.0, clock=clock.process_time)
    assert found == pytest.approx(0.2) and list(taken) == []
    assert timing.least(lambda: clock.sleep(1), seconds=5.0, clock=clock.process_time) == 0


@pytest.mark.slow
def test_growth_is_the_ratio_of_the_work(clock: Clock, monkeypatch) -> None:
    def spending(name: str, seconds: Callable[..., int]) -> None:
        function = getattr(speed, name)
        monkeypatch.setattr(speed, name, lambda *a: (clock.work(seconds(*a)), function(*a))[1])

    spending("attribute", lambda bridge, batch, how: len(batch) * how.steps)
    spending("evaluate_circuit", lambda bridge, batch, circuit: circuit.n_edges)
    fast_kernels = speed.fast_kernels

    @contextmanager
    def counted(model):
        def forward(model, arguments):
            clock.work(arguments[0].numel() * model.config.n_layer)

        hook = model.register_forward_pre_hook(forward)
        with fast_kernels(model):
            yield
        hook.remove()

    monkeypatch.setattr(speed, "fast_kernels", counted)
    assert speed.growth(replace(TOY, n_layers=3)) == pytest.approx({
        "circuit.n_pairs": 2, "circuit.steps": 2, "circuit.top_n": 2, "model.n_layers": 2,
        "training.batch_size": 1,  # as many tokens
    })  # fmt: skip


def test_a_report_is_ok_unless_something_is_missing() -> None:
    warned = Report((Finding("a", "ok", ""), Finding("b", "warning", "")))
    assert warned.ok and not Report((*warned.findings, Finding("c", "missing", ""))).ok


def test_examine_goes_through_all_checks(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(installed, "check_kernel", lambda: [Finding("kernel", "ok", "starts")])
    seen: list[str] = []
    report = examine(tmp_path / "none", measure=False, progress=seen.append)
    assert {"Python", "packages", "PyTorch", "kernel", "memory", "disk"} <= set(seen)
    assert not report.ok and json.loads(json.dumps(report.record()))["ok"] is False


@pytest.mark.slow
def test_the_command_ends_with_0_for_a_finished_run(smoke_run: Path) -> None:
    done = kc("doctor", "--json", "--no-measure", "--run-dir", smoke_run, check=False)
    record = json.loads(done.stdout)
    wrong = [f for f in record["findings"] if f["state"] == "missing"]
    assert (done.returncode, record["ok"], wrong) == (0, True, [])


@pytest.mark.slow
def test_without_packages_there_are_lines_and_no_traceback(tmp_path: Path) -> None:
    command = [sys.executable, "-S", "-m", "kc_utils.cli.doctor"]  # -S: no site-packages at all
    command += ["--no-measure", "--run-dir", str(tmp_path / "none")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True,
                          env=environment())  # fmt: skip
    assert done.returncode == 1 and done.stderr == ""
    assert {"PyTorch", "library", "kernel"} <= {
        line.split(":")[0].removeprefix("missing ") for line in done.stdout.splitlines()
    }


def test_the_command_line_itself_needs_no_pandas() -> None:
    code = (
        "import sys\nfor n in ('pandas', 'torch'): sys.modules[n] = None\nimport kc_utils.cli.app"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, env=environment())
    code = "import sys; sys.modules['typer'] = None; import kc_utils.cli.app"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True,
                          env=environment())  # fmt: skip
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    assert "kc_utils.cli.doctor" in done.stderr
