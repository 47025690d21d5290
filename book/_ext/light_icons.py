"""Sphinx extension: icons come from the theme's font files only, which makes pages lighter.

The theme loads Font Awesome twice, as fonts and as a script of 1.5 MB that draws all of its icons
as SVG. The fonts show the dozen icons of this book as well, so the script is emptied.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sphinx.application import Sphinx

_SCRIPT = "_static/scripts/fontawesome.js"


def empty_script(app: Sphinx, error: Exception | None) -> None:
    """Leave a comment instead of the script; pages still ask for it."""
    script = Path(app.outdir) / _SCRIPT
    if error is None and script.is_file():
        script.write_text("// Icons are drawn with the theme's fonts.\n", encoding="utf-8")


def setup(app: Sphinx) -> dict[str, Any]:
    """Empty the script when all pages are written."""
    app.connect("build-finished", empty_script)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
