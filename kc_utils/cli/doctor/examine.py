"""All checks together, as values for people and programs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from kc_utils.cli.doctor import check_installation, check_machine
from kc_utils.cli.doctor.check_installation import Finding, safely


@dataclass(frozen=True)
class Report:
    """Findings in their order."""

    findings: tuple[Finding, ...]

    @property
    def ok(self) -> bool:
        """Whether a workshop can be held: nothing is missing."""
        return all(finding.state != "missing" for finding in self.findings)

    def record(self) -> dict[str, Any]:
        """The same as JSON values."""
        return {"ok": self.ok} | asdict(self)


def examine(run_dir: Path, progress: Callable[[str], None] = lambda name: None) -> Report:
    """Look at everything; ``progress`` is called with the name of each check before it starts."""
    checks: dict[str, Callable[[], list[Finding]]] = {
        "Python": check_installation.check_python,
        "packages": check_installation.check_packages,
        "library": check_installation.check_library,
        "PyTorch": check_installation.check_torch,
        "kernel": check_installation.check_kernel,
        "offline files": check_installation.check_offline,
        "tools": check_installation.check_tools,
        "cores": check_machine.check_cores,
        "memory": check_machine.check_memory,
        "disk": check_machine.check_disk,
        f"run {run_dir}": lambda: check_machine.check_run(run_dir),
    }
    findings: list[Finding] = []
    for name, check in checks.items():
        progress(name)
        findings += safely(name, check)
    return Report(tuple(findings))
