"""Kills, full disks, damaged files, two at once, strange clocks, and input nobody thought of.

    python -m tests.campaign [--scale 1.0] [--seed 0] [--only kills,...] [--commands run,...]

After ``--minutes 85`` no attempt begins, whatever is left to try; what is under way ends. It is not
part of ``make test``. Its numbers are stored as JSON, part by part with the commit of each, and the
book has a page of them; with ``--only`` the other parts keep theirs.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from kc_utils import ROOT, artifacts
from kc_utils.runs.record import commit

from .clocks import disturb
from .commands import References
from .damage import damage_files
from .full_disk import fill_disks
from .fuzz import fuzz
from .kills import kill
from .outcome import Outcome
from .together import two_at_once

REPORT = ROOT / "book" / "reference" / "campaign.json"
#: Attempts of each part at scale 1.
DISKS, DAMAGES, PAIRS, CASES = 20, 3_000, 50, 5_000
#: And per command. Kills come in rows of ten, each in a folder of its own, so that every stage is
#: reached. The smaller commands are cheaper; together they are killed 60 times.
KILLED = {"run": 20, "sweep": 20, "facts": 20}
CLOCKS = {"run": 4, "sweep": 4, "facts": 4}
ROW = 10
#: Shares of the time; what a part leaves is there for the next.
SHARES = {"kills": 0.45, "clocks": 0.15, "disks": 0.1, "damage": 0.05, "together": 0.2,
          "fuzz": 0.05}  # fmt: skip


def main() -> int:
    """Run the parts, store the report, and return 1 if anything failed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scale", type=float, default=1.0, help="share of the attempts")
    parser.add_argument("--minutes", type=float, default=85.0, help="no attempt begins later")
    parser.add_argument("--seed", type=int, default=0, help="of moments, places and sizes")
    parser.add_argument("--only", help=f"comma-separated parts of {', '.join(SHARES)}")
    parser.add_argument("--commands", help=f"what is killed: parts of {', '.join(KILLED)}")
    parser.add_argument("--out", type=Path, default=REPORT, help="where the report goes")
    parser.add_argument(
        "--add", action="store_true", help="count with what is stored; takes another --seed"
    )
    chosen = parser.parse_args()
    names = _listed(parser, chosen.only, SHARES)
    commands = _listed(parser, chosen.commands, KILLED)
    if chosen.add and chosen.out.is_file():
        stored = {p["part"]: _list(p["seed"]) for p in artifacts.read_json(chosen.out)["parts"]}
        if again := [name for name in names if chosen.seed in stored.get(name, [])]:
            parser.error(f"{again[0]} of --seed {chosen.seed} is stored; --add needs another seed")
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="campaign-") as folder:
        parts = _parts(Path(folder), chosen.scale, random.Random(chosen.seed), commands)
        outcomes, share = [], 0.0
        for name in names:
            share += SHARES[name] / sum(SHARES[n] for n in names)
            until = started + 60 * chosen.minutes * share
            outcomes.append(timed(Outcome(name, until=until), parts[name]))
    made = {"seed": chosen.seed, "scale": chosen.scale, "git": commit()}
    done = [part | made for part in outcomes]
    artifacts.write_json(chosen.out, merged(chosen.out, done, chosen.add))
    return int(any(part["failures"] for part in outcomes))


def merged(path: Path, parts: Sequence[dict], add: bool = False) -> dict:
    """The report with these parts; those of an earlier one that were not run again stay in it.

    ``add`` counts the attempts of a part that was run again with those that are stored.
    """
    stored = artifacts.read_json(path)["parts"] if path.is_file() else []
    found = {part["part"]: part for part in stored}
    for part in parts:
        name = part["part"]
        found[name] = _sum(found[name], part) if add and name in found else part
    return {"parts": [found[name] for name in SHARES if name in found]}


def _sum(stored: dict, new: dict) -> dict:
    """Both runs of a part as one, with the seeds and commits of both."""
    tried = {kind: stored["tried"].get(kind, 0) for kind in stored["tried"] | new["tried"]}
    several = {name: [*_list(stored[name]), *_list(new[name])] for name in ("seed", "git")}
    return new | several | {
        "tried": {kind: n + new["tried"].get(kind, 0) for kind, n in tried.items()},
        "failures": [*stored["failures"], *new["failures"]],
        "seconds": stored["seconds"] + new["seconds"],
    }  # fmt: skip


def _list(value: object) -> list:
    return value if isinstance(value, list) else [value]


def _listed(parser: argparse.ArgumentParser, given: str | None, allowed: Iterable[str]) -> list:
    names = given.split(",") if given else list(allowed)
    if unknown := set(names) - set(allowed):
        parser.error(f"unknown {unknown.pop()!r}; allowed are {', '.join(allowed)}")
    return names


def timed(outcome: Outcome, part: Callable[[Outcome], None]) -> dict:
    """The report of a part, with its seconds; failures are printed too."""
    started = time.monotonic()
    try:
        part(outcome)
    except SystemExit as end:  # a command failed undisturbed: what was tried until then counts
        outcome.failures.append(str(end))
    seconds = round(time.monotonic() - started)
    tried = sum(n for kind, n in outcome.tried.items() if not kind.startswith("not tried"))
    failed = len(outcome.failures)
    print(f"{outcome.part}: {tried} tried in {seconds} s, {failed} failed", flush=True)
    for failure in outcome.failures[:20]:
        print(f"  {failure}", flush=True)
    return outcome.report() | {"seconds": seconds}


def _parts(
    folder: Path, scale: float, rng: random.Random, commands: Sequence[str]
) -> dict[str, Callable[[Outcome], None]]:
    references = References(folder)
    run = references.command("run")

    def times(count: int) -> int:
        return max(1, round(count * scale))

    def kills(outcome: Outcome) -> None:
        for name in commands:
            command, n = references.command(name), times(KILLED[name])
            for first in range(0, n, ROW):
                place = folder / f"killed-{name}-{first}" / "it"
                kill(command, place, references.of(command), min(ROW, n - first), rng, outcome)

    def clocks(outcome: Outcome) -> None:
        for name in commands:
            command, place = references.command(name), folder / f"clock-{name}" / "it"
            disturb(command, place, references.of(command), times(CLOCKS[name]), rng, outcome)

    def disks(outcome: Outcome) -> None:
        unbroken = references.of(run)
        most = sum(p.stat().st_size for p in references.path("run").rglob("*") if p.is_file())
        fill_disks(run, folder / "disk", unbroken, times(DISKS), most, rng, outcome)

    def damage(outcome: Outcome) -> None:
        references.of(run)
        references.execute_first_notebook()
        damage_files(references.path("run"), times(DAMAGES), rng, outcome)

    def together(outcome: Outcome) -> None:
        place = folder / "two" / "it"
        two_at_once(run, place, references.of(run), times(PAIRS), rng, outcome)

    def cases(outcome: Outcome) -> None:
        fuzz(times(CASES), folder, outcome)

    return {"kills": kills, "clocks": clocks, "disks": disks, "damage": damage,
            "together": together, "fuzz": cases}  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
