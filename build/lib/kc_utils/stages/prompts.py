"""Stage ``prompts``: queries as clean/corrupted pairs of token sequences."""

from __future__ import annotations

from kc_utils.models import load_tokenizer
from kc_utils.prompts import make_pairs
from kc_utils.stages.engine import Workspace


def compute(work: Workspace) -> None:
    """``data/pairs.parquet``."""
    run, settings = work.run, work.config.circuit
    tokenizer = load_tokenizer(run.verify(run.path / "tokenizer"))
    people = run.read(run.path / "data" / "people.parquet")
    pairs = make_pairs(
        people,
        tokenizer,
        tasks=settings.tasks,
        bands=settings.bands,
        n_pairs=settings.n_pairs,
        min_fellows=settings.min_fellows,
        seed=work.config.seed,
    )
    work.data("pairs", pairs)
