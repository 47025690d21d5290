"""A plugin for pytest: nbval's kernels are forked, as those of a run are.

The one that starts them imports beforehand what the notebooks on the command line import.
"""

from __future__ import annotations

from pathlib import Path

import nbval.kernel
import pytest

from kc_utils.runs.forked_kernel import ForkingKernels, import_beforehand


def pytest_configure(config: pytest.Config) -> None:
    folders = [Path(argument) for argument in config.args]
    import_beforehand(path for folder in folders for path in folder.glob("*.ipynb"))
    nbval.kernel.KernelManager = ForkingKernels
