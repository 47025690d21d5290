"""The study itself: edge scores, circuits at every size, other facts, heads and the logit lens.

What is asked of a cell is what the chapters ask of a run: the same functions on the same kinds of
tables. Every part is stored when it is finished, so that a start that was killed goes on there.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from pathlib import Path

import pandas as pd
from torch import Tensor
from transformer_lens.model_bridge import TransformerBridge

from kc_utils import artifacts
from kc_utils.analysis.head_attribution import PARTS, assign_roles, head_attribution
from kc_utils.analysis.logit_lens import lens_means, logit_lens
from kc_utils.circuits import (
    ABLATIONS,
    BatchEvaluation,
    Circuit,
    curve_circuits,
    mean_outputs,
    random_circuit,
    size_curve,
    top_n,
)
from kc_utils.circuits.adapter import graph_of
from kc_utils.circuits.attribution import AttributionSettings, attribute
from kc_utils.circuits.circuit_size import sizes_of
from kc_utils.circuits.graph import Graph
from kc_utils.circuits.pair_batch import PairBatch
from kc_utils.circuits.score_files import read_scores, write_scores
from kc_utils.errors import KcError
from kc_utils.facts.asking import Source, ask, bridge_of, queries_of
from kc_utils.facts.lines import Fact
from kc_utils.facts.pairing import (
    Cell,
    FactSettings,
    cells_of,
    make_pairs,
    primary,
    relation_counts,
    with_groups,
)
from kc_utils.facts.study_folder import StudyFolder

Say = Callable[[str], None]
SHAPE = ("model_type", "num_hidden_layers", "num_attention_heads", "hidden_size")


class Inquiry:
    """The last model with everything that is asked of it: facts, pairs, cells."""

    def __init__(
        self, path: Path, facts: list[Fact], source: Source, settings: FactSettings
    ) -> None:
        self.source, self.settings = source, settings
        model, tokenizer = source.load()
        self.queries = queries_of(path, facts, model.config, tokenizer)
        asked = ask(model, tokenizer, self.queries, settings.batch_size)
        frame = pd.DataFrame(
            [(f.number, f.relation, f.subject, f.prompt, f.answer) for f in facts],
            columns=["line", "relation", "subject", "prompt", "answer"],
        )
        grouped = with_groups(frame.join(asked), settings)
        self.pairs, self.facts = make_pairs(grouped, self.queries, settings)
        self.counts = relation_counts(self.facts, self.pairs)
        self.cells = cells_of(self.counts)
        self.bridge = bridge_of(source, model, tokenizer)
        self.graph: Graph = graph_of(self.bridge)

    def select(self, cell: Cell, split: str) -> pd.DataFrame:
        """The pairs of one cell and side."""
        here = (self.pairs["relation"] == cell.relation) & (self.pairs["group"] == cell.group)
        return self.pairs[here & (self.pairs["split"] == split)].reset_index(drop=True)

    def batch(self, cell: Cell, split: str) -> PairBatch:
        """The same as tensors."""
        return PairBatch.from_frame(self.select(cell, split))

    @cached_property
    def n(self) -> int:
        """Edges of the circuit before pruning."""
        return sizes_of(self.graph, [self.settings.top_share])[0]


def check_checkpoint(source: Source, path: Path, facts: list[Fact], last: Inquiry) -> None:
    """KcError unless ``source`` reads the same tokens and has the same shape as the last model."""
    config, tokenizer = source.shape()
    own = last.bridge.original_model.config
    different = [k for k in SHAPE if getattr(config, k, None) != getattr(own, k, None)]
    if different:
        raise KcError(
            f"{source.where!r} has another {different[0]} than {last.source.where!r} "
            f"({getattr(config, different[0], None)}, {getattr(own, different[0], None)}); "
            "checkpoints are of one model."
        )
    if queries_of(path, facts, config, tokenizer) != last.queries:
        raise KcError(
            f"{source.where!r} splits the facts into other tokens than {last.source.where!r}; "
            "checkpoints share a tokenizer."
        )


def scores_of(
    folder: StudyFolder, number: int, inquiry: Inquiry, bridge: TransformerBridge, say: Say
) -> dict[str, Tensor]:
    """Edge scores of every cell by its name, each [n_forward, n_backward], from the score file or
    computed."""
    path = folder.path / "scores" / f"checkpoint-{number:03d}.safetensors"
    how = AttributionSettings(steps=inquiry.settings.steps, batch_size=inquiry.settings.batch_size)
    if not artifacts.intact(path):
        found = {}
        for cell in inquiry.cells:
            say(f"edge scores of {cell.relation} ({cell.group})")
            found[cell.name] = attribute(bridge, inquiry.batch(cell, "discover"), how)
        write_scores(path, found, inquiry.graph)
        artifacts.seal(path)
        folder.note_cost("scores")
    return read_scores(path, inquiry.graph)


def circuits_of(inquiry: Inquiry, scores: dict[str, Tensor]) -> dict[Cell, Circuit]:
    """The circuit of every cell."""
    return {cell: top_n(scores[cell.name], inquiry.graph, inquiry.n) for cell in inquiry.cells}


def size_rows(inquiry: Inquiry, cell: Cell, scores: Tensor) -> pd.DataFrame:
    """Circuits of every size, a row per pair: discovered ones on both sides, random ones on
    held-out facts."""
    settings = inquiry.settings
    circuits = curve_circuits(scores, inquiry.graph, settings.seed, settings.shares)
    discovered = {key: circuit for key, circuit in circuits.items() if key[1] == "own"}
    means = mean_outputs(inquiry.bridge, inquiry.batch(cell, "discover"), settings.batch_size)
    frames = []
    for split, chosen in (("evaluate", circuits), ("discover", discovered)):
        pairs = inquiry.select(cell, split)
        evaluation = BatchEvaluation(
            inquiry.bridge, PairBatch.from_frame(pairs), means, settings.batch_size
        )
        rows = size_curve(evaluation, chosen).join(pairs[["pair_id", "subject"]], on="pair")
        frames.append(rows.drop(columns="pair").assign(split=split))
    return pd.concat(frames, ignore_index=True).assign(**cell._asdict())


def transfer_rows(inquiry: Inquiry, circuits: dict[Cell, Circuit], target: Cell) -> pd.DataFrame:
    """Every cell's circuit, and random ones of the target's size, on the held-out facts of
    ``target``."""
    settings = inquiry.settings
    means = mean_outputs(inquiry.bridge, inquiry.batch(target, "discover"), settings.batch_size)
    pairs = inquiry.select(target, "evaluate")
    evaluation = BatchEvaluation(
        inquiry.bridge, PairBatch.from_frame(pairs), means, settings.batch_size
    )
    size = circuits[target].n_edges
    sides = [(cell.relation, cell.group, "own", c) for cell, c in circuits.items()]
    sides += [
        (target.relation, target.group, "random",
         random_circuit(inquiry.graph, size, 1000 * settings.seed + i))
        for i in range(settings.random_circuits)
    ]  # fmt: skip
    frames = [
        evaluation.tables(circuit, ABLATIONS).assign(
            source_relation=relation, source_group=group, circuit=name
        )
        for relation, group, name, circuit in sides
    ]
    rows = pd.concat(frames, ignore_index=True).join(pairs[["pair_id", "subject"]], on="pair")
    return rows.drop(columns="pair").assign(**target._asdict())


def head_table(inquiry: Inquiry, cell: Cell, circuit: Circuit) -> pd.DataFrame:
    """Every head's contribution and role on held-out facts, and whether the circuit has it.

    ``from_subject``, ``from_relation`` and ``from_bos`` are what it reads from these tokens.
    """
    values = head_attribution(inquiry.bridge, inquiry.batch(cell, "evaluate"))
    heads = assign_roles(values, inquiry.settings.role_ratio)
    heads = heads.rename(columns={part: f"from_{part}" for part in PARTS})
    names = "a" + heads["layer"].astype(str) + ".h" + heads["head"].astype(str)
    return heads.assign(in_circuit=names.isin(set(circuit.nodes)), **cell._asdict())


def lens_table(inquiry: Inquiry, cell: Cell) -> pd.DataFrame:
    """The logit lens on held-out facts, for the right answer and, as control, for the wrong one."""
    batch = inquiry.batch(cell, "evaluate")
    frames = [
        lens_means(logit_lens(inquiry.bridge, batch, target=target)).assign(target=target)
        for target in ("right", "wrong")
    ]
    return pd.concat(frames, ignore_index=True).assign(**cell._asdict())


def each_part(
    folder: StudyFolder, inquiry: Inquiry, scores: dict[str, Tensor], say: Say
) -> dict[str, pd.DataFrame]:
    """The rows of the last model: sizes, transfer, heads, lens."""
    circuits = circuits_of(inquiry, scores)
    found: dict[str, list[pd.DataFrame]] = {"sizes": [], "transfer": [], "heads": [], "lens": []}
    main = primary(inquiry.cells)
    for i, cell in enumerate(inquiry.cells):
        shown = f"{cell.relation} ({cell.group})"
        jobs: dict[str, Callable[[], pd.DataFrame]] = {
            "heads": lambda c=cell: head_table(inquiry, c, circuits[c]),
            "lens": lambda c=cell: lens_table(inquiry, c),
            "transfer": lambda c=cell: transfer_rows(inquiry, circuits, c),
        }
        if cell in main:
            jobs["sizes"] = lambda c=cell: size_rows(inquiry, c, scores[c.name])
        for name, job in jobs.items():
            say(f"{name} of {shown}")
            found[name].append(folder.piece(f"{name}-{i:03d}", job))
    return {name: pd.concat(frames, ignore_index=True) for name, frames in found.items()}
