"""Knowledge circuits: how language models acquire new knowledge, as an executable book."""

from pathlib import Path

#: The folder that holds the package: the repository, when the package is installed in place.
ROOT = Path(__file__).resolve().parent.parent
