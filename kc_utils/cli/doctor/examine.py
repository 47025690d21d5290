"""All checks, the measurement and the estimates together, as values for people and programs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from kc_utils.cli.doctor import check_installation, check_machine
from kc_utils.cli.doctor.check_installation import Finding, safely
from kc_utils.cli.doctor.costs import Costs, Estimate, Speed, estimates, read, sweep_seconds
from kc_utils.errors import KcError


@dataclass(frozen=True)
class Report:
    """Findings in their order; speed and estimates unless they were not asked for or possible."""

    findings: tuple[Finding, ...]
    speed: Speed | None = None
    estimates: tuple[Estimate, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether a workshop can be held: nothing is missing."""
        return all(finding.state != "missing" for finding in self.findings)

    def record(self) -> dict[str, Any]:
        """The same as JSON values."""
        return {"ok": self.ok} | asdict(self)


def examine(
    run_dir: Path, measure: bool = True, progress: Callable[[str], None] = lambda name: None
) -> Report:
    """Look at everything; ``progress`` is called with the name of each check before it starts."""
    costs, findings = _record()
    checks: dict[str, Callable[[], list[Finding]]] = {
        "Python": check_installation.check_python,
        "packages": check_installation.check_packages,
        "library": check_installation.check_library,
        "PyTorch": check_installation.check_torch,
        "kernel": check_installation.check_kernel,
        "offline files": check_installation.check_offline,
        "tools": check_installation.check_tools,
        "cores": check_machine.check_cores,
        "memory": lambda: check_machine.check_memory(costs),
        "disk": lambda: check_machine.check_disk(costs),
        f"run {run_dir}": lambda: check_machine.check_run(run_dir),
    }
    for name, check in checks.items():
        progress(name)
        findings += safely(name, check)
    if not measure:
        return Report(tuple(findings))
    progress("speed, about ten seconds")
    speed, line = _speed()
    found = _estimates(costs, speed) if costs and speed else []
    return Report((*findings, line), speed, tuple(found))


def _record() -> tuple[Costs | None, list[Finding]]:
    try:
        costs = read()
    except KcError as error:
        return None, [Finding("record", "warning", str(error), "kc doctor --keep RUN_DIR")]
    if costs is None:
        found = "no record of a reference run, so there are no estimates"
        return None, [Finding("record", "warning", found, "kc doctor --keep RUN_DIR")]
    return costs, []


def _speed() -> tuple[Speed | None, Finding]:
    found: list[Speed] = []

    def measured() -> list[Finding]:
        from kc_utils.cli.doctor.speed import speed as measured_speed

        speed = measured_speed()
        found.append(speed)
        words = (
            f"training steps {speed.training:.3f} s, on one thread "
            f"{speed.training_one_thread:.3f} s, attribution {speed.attribution_one_thread:.3f} s"
        )
        return [Finding("speed", "ok", words)]

    line = safely("speed", measured)[0]
    return (found[0] if found else None), line


def _estimates(costs: Costs, speed: Speed) -> list[Estimate]:
    from kc_utils.study.pipeline import all_notebooks

    seed = sweep_seconds(costs.profile, costs.machine)
    return estimates(costs, speed, all_notebooks(), seed)
