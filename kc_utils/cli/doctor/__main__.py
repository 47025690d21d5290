"""``python -m kc_utils.cli.doctor``: the report as plain lines, where ``kc`` cannot start yet."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from kc_utils.cli.doctor.examine import Report, examine


def lines(report: Report) -> list[str]:
    """One line per finding."""
    return [
        f"{f.state:<8}{f.name}: {f.found}" + (f"  ->  {f.repair}" if f.repair else "")
        for f in report.findings
    ]


def main() -> int:
    """Print the report; 0 if a workshop can be held."""
    parser = argparse.ArgumentParser(prog="python -m kc_utils.cli.doctor", description=__doc__)
    parser.add_argument("--run-dir", type=Path, default=Path("runs/tiny"))
    parser.add_argument("--json", action="store_true")
    chosen = parser.parse_args()
    report = examine(chosen.run_dir)
    text = json.dumps(report.record(), indent=1) if chosen.json else "\n".join(lines(report))
    print(text)
    return 0 if report.ok else 1


if __name__ == "__main__":
    sys.exit(main())
