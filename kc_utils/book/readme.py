"""What was found, in the README: ``book/findings/readme.md`` with the numbers of the sweep.

    python -m kc_utils.book.readme

writes them between two marks, after new seeds were exported into the reference sweep.
"""

from __future__ import annotations

from pathlib import Path

from kc_utils import ROOT, artifacts
from kc_utils.book.findings import FOLDER, render, stored_ledger
from kc_utils.errors import KcError

BEGIN, END = "<!-- findings: python -m kc_utils.book.readme -->", "<!-- end of findings -->"


def with_findings(text: str, root: Path) -> str:
    """The README ``text`` with its findings between its marks.

    Raises:
        KcError: a mark is missing.
    """
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise KcError(f"The README has no place for what was found: {BEGIN} and {END} are needed.")
    said = render(root / FOLDER / "readme.md", stored_ledger(root))
    return f"{before}{BEGIN}\n\n{said}\n\n{END}{after}"


def main(readme: Path = ROOT / "README.md") -> None:
    """Write the findings of the reference sweep into the checkout's README."""
    text = with_findings(readme.read_text(encoding="utf-8"), ROOT)
    artifacts.write_atomically(readme, lambda path: path.write_text(text, encoding="utf-8"))


if __name__ == "__main__":
    main()
