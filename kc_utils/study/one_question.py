"""One question of a run, token by token: tables for a page that cannot load the model."""

from __future__ import annotations

import pandas as pd

from kc_utils.analysis.token_edges import attention_links, strongest_token_edges
from kc_utils.circuits import attribute_by_token
from kc_utils.runs.folder import Run
from kc_utils.study.running_example import head_roles, running_example
from kc_utils.study.stages import STAGES, common


def one_question(run: Run, task: str, most: int = 40) -> dict[str, pd.DataFrame]:
    """The running example of ``run`` at its last checkpoint, the ``most`` strongest edges of it.

    Returns:
        ``question`` (one row: the pair of prompts, the person's name, n_layers, n_heads, and
        whether the model answers both), ``question_tokens`` (position, token, of the clean
        prompt), ``question_edges`` (:func:`~kc_utils.analysis.token_edges.strongest_token_edges`),
        ``question_links`` (:func:`~kc_utils.analysis.token_edges.attention_links`) and
        ``question_roles`` (node, role of every head).

    Raises:
        KcError: a task that the run does not study, or a stage is missing.
    """
    STAGES.ensure(run, "components")
    example = running_example(run, task)
    step = int(common.analysed_checkpoints(run)["step"].iloc[-1])
    bridge, graph = common.open_bridge(run, step), common.graph_of_run(run)
    batch = example.batch
    scores = attribute_by_token(bridge, batch, common.attribution_settings(run.config))
    edges = strongest_token_edges(scores, graph, most)
    ids = batch.clean_ids[0]
    tokens = [bridge.tokenizer.decode([i]) for i in ids]
    named = example.pair[["task", "kind", "band", "clean", "corrupted", "right", "wrong"]]
    return {
        "question": named.assign(
            name=example.name, known=example.known, step=step,
            n_layers=graph.n_layers, n_heads=graph.n_heads,
        ).reset_index(drop=True),
        "question_tokens": pd.DataFrame({"position": range(len(tokens)), "token": tokens}),
        "question_edges": edges,
        "question_links": attention_links(bridge, ids, edges),
        "question_roles": head_roles(run, example.cell),
    }  # fmt: skip
