"""A teacher's day before: slides without a network, and every command of the page for teachers."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from playwright.sync_api import Page
from watching import OVERFLOW, watch

from kc_utils import ROOT
from kc_utils.book import slides

PAGE = ROOT / "book" / "teaching.md"
SECONDS = 600  # no command takes longer
#: What is tried; installing and packing wheels is not.
_TRIED = ("kc", "papermill")
_BLOCK = re.compile(r"^```bash\n(.*?)^```", flags=re.DOTALL | re.MULTILINE)
#: A command that is shown because it is refused says so in its comment.
_REFUSED = "nothing written"


def commands(page: str) -> Iterator[tuple[str, bool]]:
    """Each command of ``kc`` and papermill on the page, and whether it is meant to be refused."""
    for block in _BLOCK.findall(page):
        for line in block.splitlines():
            command, _, comment = line.partition("  #")
            words = command.split()
            if words and Path(words[0]).name in _TRIED:
                yield command.strip(), _REFUSED in comment


def try_commands(run_dir: Path, there: Path) -> tuple[dict[str, float], list[str]]:
    """Seconds of each command, and what went wrong.

    Args:
        run_dir: a finished run of profile tiny, as the page has it; it is copied twice.
        there: an empty folder, which stands for the checkout: it has the notebooks and these runs.
    """
    (there / "notebooks").symlink_to(ROOT / "notebooks")
    for name in ("tiny", "demo"):
        shutil.copytree(run_dir, there / "runs" / name)
    taken, faults = {}, []
    binaries = Path(sys.executable).parent
    path = os.pathsep.join((str(binaries), os.environ.get("PATH", "")))
    for shown, refused in commands(PAGE.read_text(encoding="utf-8")):
        words = shlex.split(shown)
        words[0] = str(binaries / Path(words[0]).name)
        started = time.perf_counter()
        done = subprocess.run(
            words, cwd=there, env=os.environ | {"PATH": path, "COLUMNS": "200", "NO_COLOR": "1"},
            capture_output=True, text=True, timeout=SECONDS,
        )  # fmt: skip
        taken[shown] = round(time.perf_counter() - started, 1)
        if done.returncode != (2 if refused else 0) or (
            refused and len(done.stderr.split("\n")) > 9
        ):
            faults.append(f"{shown}: exit code {done.returncode}, {done.stderr.strip()[-400:]}")
        if refused and (there / "runs" / "wrong").exists():
            faults.append(f"{shown}: wrote something")
    return taken, faults


def show_slides(new_page: Callable[[], Page], file: Path) -> list[str]:
    """Go through the slides from disk, with the browser off the network; what went wrong."""
    page, wrong = new_page(), []
    page.context.set_offline(True)
    watch(page, wrong, lambda url: url == file.as_uri() or url.startswith("data:"))
    page.goto(file.as_uri())
    planned = slides.plan()["demonstration"]
    count = 2 + len(planned) + sum(len(d["figures"]) for d in planned)
    for _ in range(count - 1):
        page.keyboard.press("Space")
    if (
        not page.evaluate("Reveal.isLastSlide()")
        or page.evaluate("Reveal.getTotalSlides()") != count
    ):
        wrong.append(f"not {count} slides")
    if page.evaluate(OVERFLOW) > 0:
        wrong.append("wider than the screen")
    page.close()
    return [f"slides: {text}" for text in wrong]
