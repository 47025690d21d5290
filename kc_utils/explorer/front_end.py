"""Is there a person in front of the notebook, or does a program execute it?"""

from __future__ import annotations


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
