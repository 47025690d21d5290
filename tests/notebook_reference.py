"""The EAP-IG of the chapter on integrated gradients: what its reader sees is what tests compare."""

from __future__ import annotations

import ast
import json
from functools import cache
from pathlib import Path
from typing import Any

from torch import Tensor
from transformers import PreTrainedModel

from kc_utils.circuits import PairBatch

CHAPTER = Path(__file__).parents[1] / "notebooks" / "background_4_integrated_gradients.ipynb"


@cache
def reference_source() -> str:
    """The code of the cell that defines ``eap_ig``."""
    (cell,) = [source for source in _code_cells() if "def eap_ig(" in source]
    return cell


@cache
def _namespace() -> dict[str, Any]:
    """What the cell defines, with the chapter's imports from torch and the standard library."""
    found: dict[str, Any] = {}
    imports = [node for source in _code_cells()[:2] for node in ast.parse(source).body]
    for node in imports:
        if isinstance(node, ast.Import | ast.ImportFrom):
            text = ast.unparse(node)
            if text == "import torch" or text.startswith(("from torch", "from copy")):
                exec(text, found)
    exec(reference_source(), found)
    return found


def reference(model: PreTrainedModel, batch: PairBatch, steps: int) -> Tensor:
    """EAP-IG scores [n_forward, n_backward] with k = 1..steps, by plain hooks on ``model``."""
    return _namespace()["eap_ig"](model, batch, steps)


def _code_cells() -> list[str]:
    cells = json.loads(CHAPTER.read_text(encoding="utf-8"))["cells"]
    return ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
