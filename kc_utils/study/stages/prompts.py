"""Stage ``prompts``: queries as clean/corrupted pairs of token sequences."""

from __future__ import annotations

from kc_utils.models.causal_lm import load_tokenizer
from kc_utils.runs.stage import Workspace
from kc_utils.study import imported_world
from kc_utils.world.prompts import make_free_pairs, make_pairs


def compute(work: Workspace) -> None:
    """``data/pairs.parquet``, and ``data/free_pairs.parquet`` with partners from everybody."""
    run, settings = work.run, work.config.circuit
    tokenizer = load_tokenizer(run.verify(run.path / "tokenizer"))
    people = run.read(run.path / "data" / "people.parquet")
    pairs = make_pairs(
        people,
        tokenizer,
        tasks=settings.tasks,
        bands=settings.bands,
        kinds=work.config.world.kinds,
        n_pairs=settings.n_pairs,
        min_fellows=settings.min_fellows,
        seed=work.config.seed,
        bos=settings.bos,
    )
    work.data("pairs", pairs)
    free = make_free_pairs(
        people, pairs, tokenizer, seed=work.config.seed, bos=settings.bos,
        partners=imported_world.partners(work.config),
    )  # fmt: skip
    work.data("free_pairs", free)
