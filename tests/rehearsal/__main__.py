"""A student folder in JupyterLab and Chromium, every exercise in it, and a teacher's commands.

    python -m tests.rehearsal [--run-dir runs/tiny] [--only e3_patching --only teacher]

Each exercise must refuse an empty answer in one sentence and accept its solution. Seconds are
printed. It takes minutes and is not part of ``make test``.
"""

from __future__ import annotations

import argparse
import functools
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from playwright.sync_api import Browser, Error, sync_playwright

from kc_utils import ROOT
from kc_utils.book.exercises import exercise_notebooks
from kc_utils.book.slides import write_slides
from kc_utils.book.student import write_student
from kc_utils.errors import KcError
from kc_utils.runs.folder import Run

sys.path.append(str(Path(__file__).resolve().parents[1]))  # what it shares with the tests
from .lab_server import jupyter_lab
from .participant import EXPLORER, do_exercises, open_explorer
from .teacher import show_slides, try_commands

CHROMIUM = "/usr/bin/chromium"
TEACHER = "teacher"
NOTEBOOKS = {path.stem: path for path in exercise_notebooks(ROOT)}


def main() -> int:
    """Rehearse, print what was seen, and return 1 if anything was wrong."""
    known = [*NOTEBOOKS, EXPLORER.stem, TEACHER]
    parser = argparse.ArgumentParser(
        prog="python -m tests.rehearsal", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--run-dir", type=Path, default=Path("runs/tiny"), help="a finished run")
    parser.add_argument(
        "--only", action="append", choices=known, metavar="PART",
        help=f"this part of {', '.join(known)}; may be repeated",
    )  # fmt: skip
    chosen = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # servers end and folders go all the same
    run, parts = Run.open(chosen.run_dir), chosen.only or known
    faults: list[str] = []
    with tempfile.TemporaryDirectory(prefix="workshop-") as name, sync_playwright() as playwright:
        place = Path(name)
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        if set(parts) != {TEACHER}:
            _exercises(chromium, run.path, place, parts, faults)
        if TEACHER in parts:
            _teacher(chromium, run.path, place, faults)
        chromium.close()
    print("\n".join([*faults, f"{len(faults)} faults"]), flush=True)
    return int(bool(faults))


def _exercises(
    chromium: Browser, run_dir: Path, place: Path, parts: Sequence[str], faults: list[str]
) -> None:
    """What a participant sees; what is wrong goes to ``faults``."""
    handed = write_student(place / "handed-out", run_dir).path
    new_page = functools.partial(chromium.new_page, viewport={"width": 1280, "height": 900})
    with jupyter_lab(handed, place / "jupyter") as lab:
        print(f"JupyterLab: {lab.seconds:.1f} s", flush=True)
        for part in (name for name in parts if name != TEACHER):
            seen = (
                do_exercises(new_page, lab, handed, NOTEBOOKS[part])
                if part in NOTEBOOKS
                else open_explorer(new_page, lab, handed)
            )
            print(seen.notebooks, seen.exercises, *seen.faults, flush=True)
            faults += seen.faults


def _teacher(chromium: Browser, run_dir: Path, place: Path, faults: list[str]) -> None:
    """A teacher's slides and commands; what is wrong goes to ``faults``."""
    there = place / "teacher"
    there.mkdir()
    faults += show_slides(chromium.new_page, write_slides(run_dir, place / "slides.html"))
    taken, wrong = try_commands(run_dir, there)
    for command, seconds in taken.items():
        print(f"{seconds:6.1f} s  {command}", flush=True)
    faults += wrong


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (KcError, Error, subprocess.TimeoutExpired) as error:
        sys.exit(f"rehearsal: {error}")
