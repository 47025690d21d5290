"""Kills, full disks, damaged files, two at once, and input nobody thought of.

    python -m tests.campaign [--scale 1.0] [--seed 0] [--only kills,...] [--out FILE]

With ``--scale 1`` it takes at most 90 minutes on two cores; it is not part of ``make test``. Its
numbers are stored as JSON, and the book has a page of them.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from kc_utils import ROOT, artifacts
from kc_utils.runs.record import commit
from tests.campaign.damage import damage_files
from tests.campaign.full_disk import fill_disks
from tests.campaign.fuzz import fuzz
from tests.campaign.kills import kill_runs
from tests.campaign.outcome import Outcome, digests, finish, start
from tests.campaign.together import two_at_once

REPORT = ROOT / "book" / "reference" / "campaign.json"
#: Attempts of each part at scale 1. Kills are split over runs, so that every stage is reached.
KILLED_RUNS, KILLS, DISKS, DAMAGES, PAIRS, CASES = 6, 10, 20, 3_000, 50, 5_000


def main() -> int:
    """Run the parts, store the report, and return 1 if anything failed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scale", type=float, default=1.0, help="share of the attempts")
    parser.add_argument("--seed", type=int, default=0, help="of moments, places and sizes")
    parser.add_argument("--only", help="comma-separated parts; all by default")
    parser.add_argument("--out", type=Path, default=REPORT, help="where the report goes")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="campaign-") as folder:
        parts = _parts(Path(folder), chosen.scale, random.Random(chosen.seed))
        names = chosen.only.split(",") if chosen.only else list(parts)
        if unknown := set(names) - set(parts):
            parser.error(f"unknown part {unknown.pop()!r}; allowed are {', '.join(parts)}")
        outcomes = [_timed(name, parts[name]) for name in names]
    report = {"seed": chosen.seed, "scale": chosen.scale, "git": commit(), "parts": outcomes}
    artifacts.write_json(chosen.out, report)
    return int(any(part["failures"] for part in outcomes))


def _timed(name: str, part: Callable[[Outcome], None]) -> dict:
    outcome, started = Outcome(name), time.monotonic()
    part(outcome)
    seconds = round(time.monotonic() - started)
    tried = sum(outcome.tried.values())
    print(f"{name}: {tried} tried in {seconds} s, {len(outcome.failures)} failed", flush=True)
    for failure in outcome.failures[:20]:
        print(f"  {failure}", flush=True)
    return asdict(outcome) | {"seconds": seconds}


def _parts(folder: Path, scale: float, rng: random.Random) -> dict[str, Callable[[Outcome], None]]:
    def times(count: int) -> int:
        return max(1, round(count * scale))

    def command(run: Path) -> list[str]:
        return ["run", "--profile", "smoke", "--no-notebooks", "--run-dir", str(run)]

    whole, took = folder / "whole" / "run", [0.0]

    def reference() -> dict[str, str]:
        if not whole.exists():
            started = time.monotonic()
            code, said = finish(start(*command(whole)), 1_800)
            if code != 0:
                sys.exit(f"the unbroken run failed: {said[-500:]}")
            took[0] = time.monotonic() - started
        return digests(whole)

    def kills(outcome: Outcome) -> None:
        expected = reference()
        for i in range(times(KILLED_RUNS)):
            run = folder / f"killed-{i}" / "run"
            kill_runs(command(run), run, expected, KILLS, took[0], rng, outcome)

    def disks(outcome: Outcome) -> None:
        expected = reference()
        most = sum(p.stat().st_size for p in whole.rglob("*") if p.is_file())
        mount = folder / "disk"
        fill_disks(
            command(mount / "run"), mount, expected, times(DISKS), most, took[0], rng, outcome
        )

    def damage(outcome: Outcome) -> None:
        reference()
        damage_files(whole, times(DAMAGES), rng, outcome)

    def together(outcome: Outcome) -> None:
        expected, run = reference(), folder / "two" / "run"
        two_at_once(command(run), run, expected, times(PAIRS), took[0] / 2, rng, outcome)

    def cases(outcome: Outcome) -> None:
        fuzz(times(CASES), folder, outcome)

    return {"kills": kills, "disks": disks, "damage": damage, "together": together, "fuzz": cases}


if __name__ == "__main__":
    sys.exit(main())
