"""The table of the page of families: how far scores are from an independent computation."""

from __future__ import annotations

from pathlib import Path

from kc_utils import artifacts
from kc_utils.book.markdown import table
from kc_utils.errors import KcError

REPORT = "parity.json"
#: Methods in the order of the columns; the two paths of integrated gradients are columns each.
METHODS = (
    "eap", "eap-ig, 1..m", "eap-ig, 0..m-1", "clean-corrupted", "eap-ig-activations", "exact",
)  # fmt: skip


def unbroken(error: str) -> str:
    """``2e-07`` with a hyphen that no narrow column breaks the number at."""
    return error.replace("-", "\u2011")


def pages(reference: Path) -> dict[str, str]:
    """File name -> MyST text of the errors that are stored in ``reference``, a row per family.

    Raises:
        KcError: the stored file lacks something.
    """
    path = reference / REPORT
    if not path.is_file():
        return {"parity.md": "No comparison of families is stored.\n"}
    report = artifacts.read_json(path)
    try:
        rows = sorted(
            (found["family"], *(unbroken(found["errors"][method]) for method in METHODS))
            for found in report["families"].values()
        )
        words = (
            f"On {report['pairs']} pairs, in float64, with {report['steps']} steps of integrated "
            "gradients:\n\n"
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise KcError(f"{path} is damaged: it lacks {error}.") from None
    return {"parity.md": words + table(("family", *(f"`{m}`" for m in METHODS)), rows)}
