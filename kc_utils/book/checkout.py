"""The checkout of the project: what the package reads besides itself, and a wheel does not hold."""

from __future__ import annotations

from pathlib import Path

from kc_utils import ROOT
from kc_utils.errors import KcError

#: Without these there is no book and there are no exercises.
_PARTS = ("_config.yml", "_toc.yml", "book", "notebooks")


def need_checkout(what: str, root: Path = ROOT) -> None:
    """Refuse to go on without the pages and notebooks of the project.

    Args:
        what: that needs them, such as "kc book".
        root: folder that should hold them.

    Raises:
        KcError: a part of the checkout is missing.
    """
    missing = [part for part in _PARTS if not (root / part).exists()]
    if missing:
        raise KcError(
            f"{what} needs a checkout of the project, and {root} has no {', '.join(missing)}; run "
            "it with the package installed in place ('pip install --editable .' in the checkout)."
        )
