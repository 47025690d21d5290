"""Sphinx extension: the Colab button opens ``.colab/start.ipynb``.

A notebook opened on Colab alone has neither the package nor the run folder. The start notebook
fetches the project, installs its pinned environment and runs the stage that is asked for.
"""

from __future__ import annotations

from typing import Any

from docutils import nodes
from sphinx.application import Sphinx

START = ".colab/start.ipynb"


def retarget(
    app: Sphinx, page: str, template: str, context: dict[str, Any], tree: nodes.document | None
) -> None:
    """Point the Colab entry of the launch menu at the start notebook of the same branch."""
    for group in context.get("header_buttons", []):
        for button in group.get("buttons", []):
            if isinstance(button, dict) and button.get("text") == "Colab":
                stem, _, _ = button["url"].partition(f"/{page}")
                button["url"] = f"{stem}/{START}"
                button["tooltip"] = "Install the project on Colab and run this stage there"


def setup(app: Sphinx) -> dict[str, Any]:
    """Run after the theme has made its buttons."""
    app.connect("html-page-context", retarget, priority=900)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
