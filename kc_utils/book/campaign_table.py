"""The table of the campaign of faults: what was done to which files, and what did not survive."""

from __future__ import annotations

from pathlib import Path

from kc_utils import artifacts
from kc_utils.book.markdown import table, text
from kc_utils.errors import cut

REPORT = "campaign.json"
_PARTS = {
    "kills": "a run, sweep or study of facts, or one of its processes, killed at a random moment",
    "clocks": "a clock that goes back, files of other days, a suspended process, a dead one's lock",
    "disks": "a disk that is full after a random number of bytes",
    "damage": "one bit flipped, or the end cut off, in a file of a finished run",
    "together": "a second run started on the same folder at a random moment",
    "fuzz": "settings, facts files and command lines put together at random",
}


def pages(reference: Path) -> dict[str, str]:
    """File name -> MyST text of the last campaign whose report is stored in ``reference``."""
    path = reference / REPORT
    if not path.is_file():
        return {"campaign.md": "No report of a campaign is stored.\n"}
    report = artifacts.read_json(path)
    rows = [
        (
            _PARTS.get(part["part"], part["part"]),
            f"{sum(n for kind, n in part['tried'].items() if not kind.startswith('not tried')):,}",
            f"{len(part['failures'])}",
            f"{part['seconds'] / 60:.0f}",
            _commits(part["git"]),
        )
        for part in report["parts"]
    ]
    header = ("what was done", "times", "not survived", "minutes", "commit")
    wrong = [
        f"- {text(part['part'])}: {text(cut(failure.strip()))}"
        for part in report["parts"]
        for failure in part["failures"]
    ]
    told = (
        ["What was not survived, in the campaign's own words:", "\n".join(wrong)] if wrong else []
    )
    return {"campaign.md": "\n\n".join([table(header, rows).rstrip(), *told]) + "\n"}


def _commits(git: str | list[str | None] | None) -> str:
    """One commit or several, shortly; a part may have been tried more than once."""
    found = git if isinstance(git, list) else [git]
    return ", ".join(dict.fromkeys(one[:7] if one else "not recorded" for one in found))
