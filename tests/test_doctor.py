"""``kc doctor``: what is missing is named with its repair."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT, environment, kc

from kc_utils.cli.doctor import check_installation as installed
from kc_utils.cli.doctor import check_machine
from kc_utils.cli.doctor.check_installation import Finding, safely
from kc_utils.cli.doctor.check_machine import check_run
from kc_utils.cli.doctor.examine import Report, examine
from kc_utils.runs.folder import Run


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


@pytest.mark.parametrize(("share", "state"), [(0.5, "missing"), (1.25, "warning"), (2, "ok")])
def test_memory_and_disk_against_what_a_run_needs(share: float, state: str) -> None:
    memory, disk = (round(share * n) for n in (check_machine.MEMORY, check_machine.DISK))
    assert check_machine.check_memory(memory)[0].state == state
    assert check_machine.check_disk(disk)[0].state == state


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


def test_a_report_is_ok_unless_something_is_missing() -> None:
    warned = Report((Finding("a", "ok", ""), Finding("b", "warning", "")))
    assert warned.ok and not Report((*warned.findings, Finding("c", "missing", ""))).ok


def test_examine_goes_through_all_checks(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(installed, "check_kernel", lambda: [Finding("kernel", "ok", "starts")])
    seen: list[str] = []
    report = examine(tmp_path / "none", progress=seen.append)
    assert {"Python", "packages", "PyTorch", "kernel", "memory", "disk"} <= set(seen)
    assert not report.ok and json.loads(json.dumps(report.record()))["ok"] is False


@pytest.mark.slow
def test_the_command_ends_with_0_for_a_finished_run(smoke_run: Path) -> None:
    done = kc("doctor", "--json", "--run-dir", smoke_run, check=False)
    record = json.loads(done.stdout)
    wrong = [f for f in record["findings"] if f["state"] == "missing"]
    assert (done.returncode, record["ok"], wrong) == (0, True, [])


@pytest.mark.slow
def test_without_packages_there_are_lines_and_no_traceback(tmp_path: Path) -> None:
    command = [sys.executable, "-S", "-m", "kc_utils.cli.doctor"]  # -S: no site-packages at all
    command += ["--run-dir", str(tmp_path / "none")]
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
