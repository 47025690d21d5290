"""Storing the base model that a run made, to be given to other runs: the body of ``kc base``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from kc_utils import artifacts
from kc_utils.errors import KcError
from kc_utils.models.causal_lm import load_model, write_model
from kc_utils.models.tokenizers import load_tokenizer
from kc_utils.runs.folder import Run
from kc_utils.runs.inside import refuse_inside_run
from kc_utils.runs.replaced import replace_folder
from kc_utils.study.given_base import FACTS, WEIGHTS, made_with
from kc_utils.study.stages import STAGES
from kc_utils.study.stages.knowledge import NEEDED, ask_facts, summary


def export_base(run: Run, out: Path, needed: float = NEEDED) -> dict[str, Any]:
    """Write the base model of ``run`` into the new folder ``out``, which is whole or absent.

    Weights are rounded to bfloat16; the rounded model is asked for every fact that it was taught.

    Args:
        run: it has made a base model and finished stage ``knowledge``.
        out: a folder that does not exist.
        needed: share of the questions that the model has to answer.

    Returns:
        ``made_by`` of the record: profile, seed, people, questions, accuracy (share right), chance
        (what the commonest answer of each relation would score).

    Raises:
        KcError: ``out`` exists or lies in the folder of a run, the run made no base model or has
            not finished, or the model does not answer enough of its own facts.
    """
    refuse_inside_run(out, "--out")
    if out.exists():
        raise KcError(f"{str(out)!r} exists already and is not overwritten; choose a new folder.")
    made = run.config.model.source == "made" and run.config.base.given is None
    if not made:
        raise KcError(
            f"Run {run.name!r} made no base model (model.source = {run.config.model.source!r}, "
            f"base.given = {run.config.base.given!r}); allowed are runs with 'made' and None."
        )
    if not STAGES.done(run, "knowledge"):
        raise KcError(
            f"Run {run.name!r} has not finished stage 'knowledge'; "
            f"'{run.command()} --to knowledge' finishes it."
        )
    path = run.verify(run.path / "base") / "model"
    rounded = load_model(path).to(torch.bfloat16)
    tokenizer = load_tokenizer(path)
    facts = run.read(run.path / "data" / "known_facts.parquet")
    model = load_model(path, attention="sdpa")
    model.load_state_dict(rounded.state_dict())  # float32 again, with the rounded values
    asked = summary(ask_facts(model, tokenizer, facts, run.config.base.relations)).iloc[0]
    accuracy = float(asked["accuracy"])
    if accuracy < needed:
        raise KcError(
            f"The base model of run {run.name!r} answers {accuracy:.2f} of {asked['n_questions']} "
            f"questions about its own facts; at least {needed:.2f} are needed."
        )
    made_by = {
        "profile": run.config.profile, "seed": run.config.seed, "people": len(facts),
        "questions": int(asked["n_questions"]), "accuracy": round(accuracy, 4),
        "chance": round(float(asked["chance"]), 4),
    }  # fmt: skip
    people = facts.drop(columns="person_id").to_dict("records")

    def fill(folder: Path) -> None:
        write_model(rounded, tokenizer, folder)
        record = {
            "made_by": made_by,
            "made_with": made_with(run.config),
            "weights": artifacts.sha256(folder / WEIGHTS),
            "people": people,
        }
        artifacts.write_json(folder / FACTS, record)

    replace_folder(out, fill)
    return made_by
