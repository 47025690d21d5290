"""From request to finished folder: check all input, compute what is missing, write tables."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from kc_utils import artifacts
from kc_utils.errors import KcError, typed_path
from kc_utils.facts import study_tables
from kc_utils.facts.asking import Source, ask, bridge_of
from kc_utils.facts.lines import read_facts
from kc_utils.facts.pairing import FactSettings
from kc_utils.facts.study import Inquiry, Say, check_checkpoint, circuits_of, each_part, scores_of
from kc_utils.facts.study_figures import write_figures
from kc_utils.facts.study_folder import VERSION, StudyFolder
from kc_utils.runs.exports import portable
from kc_utils.runs.inside import refuse_inside_run
from kc_utils.runs.lock import locked
from kc_utils.runs.record import provenance


@dataclass(frozen=True)
class Request:
    """A study that is wanted. ``checkpoints``: earlier ones of the same training, oldest first."""

    model: str
    facts: Path
    out: Path
    checkpoints: Sequence[str] = ()
    templates: dict[str, str] = field(default_factory=dict)
    settings: FactSettings = field(default_factory=FactSettings)


def study_facts(request: Request, say: Say = lambda _: None) -> StudyFolder:
    """Compute the study that ``request`` describes, or what an earlier start left to do.

    Nothing is written before the facts, the models and the folder have passed every check. ``say``
    is told what is being computed.

    Returns:
        The folder, with all tables and figures.

    Raises:
        KcError: bad lines, models that cannot be used, too few facts, or a folder that holds
            something else, lies in that of a run, or is being written by another process.
    """
    refuse_inside_run(typed_path(request.out), "--out")
    facts = read_facts(request.facts, request.templates)
    sources = [Source.find(where) for where in (*request.checkpoints, request.model)]
    folder = StudyFolder(typed_path(request.out), _identity(request, sources))
    if folder.done:
        if folder.untidy:
            with suppress(KcError), locked(folder.path):  # whoever holds the lock tidies up itself
                folder.tidy()
        return folder
    say("the model's own answers")
    inquiry = Inquiry(request.facts, facts, sources[-1], request.settings)
    for source in sources[:-1]:
        check_checkpoint(source, request.facts, facts, inquiry)
    with locked(folder.path):
        return _computed(request, inquiry, sources, folder, say)


def _computed(
    request: Request, inquiry: Inquiry, sources: Sequence[Source], folder: StudyFolder, say: Say
) -> StudyFolder:
    folder.open()
    found, right = [], []
    for number, source in enumerate(sources[:-1]):
        say(f"checkpoint {source.name}")
        model, tokenizer = source.load()
        right.append(ask(model, tokenizer, inquiry.queries, request.settings.batch_size))
        bridge = bridge_of(source, model, tokenizer)
        found.append(scores_of(folder, number, inquiry, bridge, say))
    right.append(inquiry.facts)
    found.append(scores_of(folder, len(sources) - 1, inquiry, inquiry.bridge, say))
    rows = each_part(folder, inquiry, found[-1], say)
    written = _tables(inquiry, found, right, rows, [source.name for source in sources])
    say("figures")
    write_figures(folder.path / "figures", written)
    folder.finish(written, {"made_with": provenance()})
    return folder


def _identity(request: Request, sources: Sequence[Source]) -> dict[str, Any]:
    """All that the numbers depend on, without paths of the machine."""
    return {
        "version": VERSION,
        "facts": {"name": request.facts.name, "sha256": artifacts.sha256(request.facts),
                  "templates": request.templates},
        "models": [portable({"name": s.name, "sha256": s.digest}) for s in sources],
        "settings": request.settings.model_dump(mode="json"),
    }  # fmt: skip


def _tables(
    inquiry: Inquiry, found: list, right: list[pd.DataFrame], rows: dict, names: list[str]
) -> dict[str, pd.DataFrame]:
    seed = inquiry.settings.seed
    circuits = [circuits_of(inquiry, scores) for scores in found]
    sizes, transfer = rows["sizes"], rows["transfer"]
    keys = [*study_tables.AT, "split", "circuit", "ablation", "share", "n_edges"]
    curve = study_tables.hits_and_faithfulness(sizes, keys, seed)
    return {
        "facts": inquiry.facts,
        "relations": inquiry.counts,
        "pairs": inquiry.pairs,
        "graph": study_tables.graph_table(inquiry.graph, inquiry.n),
        "sizes": curve,
        "areas": study_tables.areas_of(curve),
        "transfer": study_tables.transfer_of(transfer, seed),
        "topology": study_tables.evolution(found, circuits, names, seed),
        "answers": study_tables.answers(inquiry.facts, right, names),
        "overlap": study_tables.overlap(circuits[-1]),
        "heads": rows["heads"],
        "role_shares": study_tables.roles_of(rows["heads"]),
        "logit_lens": rows["lens"],
        "strongest_edges": study_tables.circuit_edges(found[-1], circuits[-1]),
        "size_pairs": sizes,
        "transfer_pairs": transfer,
    }
