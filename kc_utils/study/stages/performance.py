"""Stage ``performance``: means with 95 % intervals over people of everything that was measured."""

from __future__ import annotations

import pandas as pd

from kc_utils.analysis.faithfulness import faithfulness_of
from kc_utils.analysis.knowledge import time_to_knowledge
from kc_utils.analysis.stats.resample import means
from kc_utils.config import CELL
from kc_utils.runs.stage import Workspace

AT = ["step", "epoch"]


def compute(work: Workspace) -> None:
    """Tables ``accuracy`` (new texts), ``accuracy_read`` (texts that training read),
    ``query_accuracy`` (last checkpoint), ``query_curve``,
    ``time_to_knowledge``, ``hits``, ``faithfulness``, ``transfer_curve``, ``aligned``,
    ``transfer``, ``sizes``."""
    run, n, seed = work.run, work.config.analysis.bootstrap, work.config.seed
    hit_k = work.config.circuit.hit_k

    def mean(frame: pd.DataFrame, by: list[str], value: str) -> pd.DataFrame:
        return means(frame, by, value, n=n, seed=seed)

    first = run.table("first_token")
    read = run.table("first_token_read")
    for name, frame in (("accuracy", first), ("accuracy_read", read)):
        by_band = mean(frame, [*AT, "kind", "band", "wording"], "correct")
        over_bands = mean(frame, [*AT, "kind", "wording"], "correct").assign(band="all")
        work.table(name, pd.concat([by_band, over_bands], ignore_index=True))
    frequency = run.read(run.path / "data" / "people.parquet")[["person_id", "frequency"]]
    times = time_to_knowledge(read).merge(frequency, on="person_id")
    work.table("time_to_knowledge", times)
    answers = run.table("query_answers")
    work.table("query_accuracy", mean(answers, ["kind", "band", "wording", "attribute"], "correct"))
    asked = run.table("query_answers_by_step")
    asked = asked[asked["attribute"].isin(work.config.circuit.tasks)]
    work.table("query_curve", mean(asked, [*AT, "kind", "band", "attribute"], "correct"))

    pairs = run.table("circuit_pairs").assign(hit=lambda t: t["rank"] <= hit_k)
    pairs["circuit"] = pairs["circuit"].str.replace(r"^random-\d+$", "random", regex=True)
    keys = [*AT, *CELL, "split", "wording", "circuit", "ablation"]
    work.table("hits", mean(pairs, keys, "hit"))
    work.table("model_hits", model_hits(pairs, hit_k, n, seed))
    work.table("faithfulness", faithfulness_of(pairs, keys))

    others = run.table("band_pairs").assign(hit=lambda t: t["rank"] <= hit_k)
    others["source_band"] = others["circuit"].str.removeprefix("band-")
    keys = [*AT, *CELL, "source_band", "ablation"]
    curve = mean(others, keys, "hit")
    if len(others):  # a run of one band has none
        kept = faithfulness_of(others, keys)[[*keys, "value"]]
        curve = curve.merge(kept.rename(columns={"value": "faithfulness"}), on=keys)
    work.table("transfer_curve", curve)

    aligned = run.table("aligned_pairs").assign(hit=lambda t: t["rank"] <= hit_k)
    keys = [*AT, *CELL, "aligned", "aligned_step", "ablation"]
    hits = mean(aligned, keys, "hit")
    kept = faithfulness_of(aligned, keys)[[*keys, "value"]]
    work.table("aligned", hits.merge(kept.rename(columns={"value": "faithfulness"}), on=keys))

    transfer = run.table("transfer_pairs").assign(hit=lambda t: t["rank"] <= hit_k)
    keys = ["task", "kind", "source_band", "target_band", "circuit", "ablation"]
    hits = mean(transfer, keys, "hit")
    kept = faithfulness_of(transfer, keys)[[*keys, "value"]]
    work.table("transfer", hits.merge(kept.rename(columns={"value": "faithfulness"}), on=keys))

    sizes = run.table("size_curve").assign(hit=lambda t: t["rank"] <= hit_k)
    keys = [*CELL, "share", "circuit", "ablation"]
    kept = faithfulness_of(sizes, [*keys, "n_edges", "weighted_edges"])
    hits = mean(sizes, keys, "hit")[[*keys, "value"]].rename(columns={"value": "hit"})
    work.table("sizes", kept.merge(hits, on=keys))


def model_hits(pairs: pd.DataFrame, hit_k: int, n: int, seed: int) -> pd.DataFrame:
    """Hit@k of the whole model on the same queries."""
    whole = pairs[(pairs["circuit"] == "own") & (pairs["ablation"] == "corrupted")]
    whole = whole.assign(hit=whole["clean_rank"] <= hit_k)
    return means(whole, [*AT, *CELL, "split", "wording"], "hit", n=n, seed=seed)
