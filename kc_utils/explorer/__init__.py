"""The explorer: look at any circuit of a run, and type prompts to its models.

``explore(run_dir)`` is what a notebook calls. There are controls where somebody can use them, and a
sentence where nobody can.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from IPython.display import Markdown, display

from kc_utils.explorer.state import State

__all__ = ["Explorer", "explore"]

_CLOSED = (
    "*The widgets of the explorer need a running kernel, which this page does not have. Open it "
    "with `make lab`, with `jupyter lab notebooks/explorer.ipynb`, or on Binder with the rocket "
    "above. Below is what it shows for one choice.*"
)


class Explorer(State):
    """A :class:`State` that shows itself in a notebook.

    In a front end with a person it is an application of widgets; when a program executes the
    notebook it is a sentence that says how to open it, and no widget is made.
    """

    def _ipython_display_(self) -> None:
        if not has_front_end():
            display(Markdown(_CLOSED))
            return
        from kc_utils.explorer.app import App

        display(App(self).box)


def explore(run_dir: str | Path, **wanted: Any) -> Explorer:
    """Open a run for looking; ``wanted`` are first values, such as ``task="company"``.

    Raises:
        KcError: there is no run, it holds no circuits yet, or it does not hold a wanted value.
    """
    return Explorer(run_dir, **wanted)


def has_front_end() -> bool:
    """True when the running cell was sent by a front end that can ask its user for input.

    JupyterLab, Notebook, VS Code and Colab say so with every cell (``allow_stdin`` of the Jupyter
    messages); papermill, nbconvert and nbval say that they cannot. Outside of a kernel: False.
    """
    try:
        from IPython import get_ipython
    except ImportError:
        return False
    shell = get_ipython()
    parent = shell.get_parent() if hasattr(shell, "get_parent") else {}
    return bool(parent.get("content", {}).get("allow_stdin", False))
