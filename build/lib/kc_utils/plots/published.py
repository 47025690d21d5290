"""The curves that the paper's authors published, as a tidy table."""

from __future__ import annotations

import json
from importlib.resources import files

import pandas as pd


def published() -> pd.DataFrame:
    """First-token accuracy of the paper's four models against the epoch of their runs.

    Columns: model, kind (K_rel, K_compl), epoch (0 = before training), accuracy (share).
    Source: the notebooks published with Ou et al. 2025, arXiv:2502.11196.
    """
    path = files("kc_utils") / "data" / "published" / "first_token_accuracy.json"
    models = json.loads(path.read_text(encoding="utf-8"))["models"]
    parts = [
        pd.DataFrame({"model": m, "kind": kind, "epoch": c["epoch"], "accuracy": c[kind]})
        for m, c in models.items()
        for kind in ("K_rel", "K_compl")
    ]
    return pd.concat(parts, ignore_index=True)
