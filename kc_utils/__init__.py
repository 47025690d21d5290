"""Knowledge circuits: how language models acquire new knowledge, as an executable book."""

from pathlib import Path

#: The folder that holds the package: the repository, when the package is installed in place.
ROOT = Path(__file__).resolve().parent.parent
#: Below that folder: results that are stored with the book, and among them the tables of the sweep.
REFERENCE = Path("book/reference")
STORED_SWEEP = REFERENCE / "sweep"
