"""``kc draw``: a circuit or edge scores from a file, as a page, or in another program's format."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from kc_utils.cli.given import refuse_outside
from kc_utils.errors import KcError, shown
from kc_utils.runs.inside import refuse_inside_run

if TYPE_CHECKING:
    from kc_utils.circuits.graph_content import GraphFile

console = Console()
SCORES = ".safetensors"
READ = (SCORES, ".json", ".pt")
WRITTEN = (".html", ".graphml", ".json", ".pt")


def draw(
    file: Annotated[
        Path,
        typer.Argument(
            help="Edge scores (.safetensors) or a graph of the EAP-IG library (.json, .pt).",
            metavar="FILE",
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            help="Page (.html), network (.graphml) or graph of the EAP-IG library (.json, "
            ".pt); FILE with .html when left out. Not in the folder of a run."
        ),
    ] = None,
    top: Annotated[
        int | None, typer.Option(help="Cut the circuit from this many edges of largest |score|.")
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="Which scores of a file that holds several.")
    ] = None,
) -> None:
    """Draw the circuit of FILE on a page of its own, or write it for another program."""
    if file.suffix not in READ:
        raise KcError(f"{shown(str(file))} ends in none of {', '.join(READ)}.")
    from kc_utils.runs.exports import check_place

    out = file.with_suffix(".html") if out is None else out
    if out.suffix not in WRITTEN:
        raise KcError(f"--out {shown(str(out))} ends in none of {', '.join(WRITTEN)}.")
    if out.resolve() == file.resolve():
        raise KcError(f"--out {shown(str(out))} is FILE itself, which stays; choose another --out.")
    check_place(out.absolute().parent)
    refuse_inside_run(out, "--out")
    refuse_outside(1, 10**9, top=top)  # the file's own edges are counted when it is read
    found = _read(file, name)
    if top is not None:
        from kc_utils.circuits import top_n

        if not found.scores.any():
            raise KcError(f"{file} has no scores of edges, which --top {top} would cut by.")
        refuse_outside(1, found.graph.n_edges, top=top)
        found = replace(found, circuit=top_n(found.scores, found.graph, top))
        if not found.circuit.n_edges:
            raise KcError(
                f"--top {top} keeps no path from the input to the logits of {file}, so nothing is "
                "left to draw; a larger number keeps more."
            )
    if not found.circuit.n_edges:
        raise KcError(f"{file} marks no edge as its circuit's; --top N cuts one from the scores.")
    _write(out, found)
    console.print(f"{out}: {found.circuit.n_edges} of {found.graph.n_edges} edges", soft_wrap=True,
                  markup=False, highlight=False)  # fmt: skip


def _read(file: Path, name: str | None) -> GraphFile:
    """What the file holds; a score file has no circuit, and no width (0)."""
    from kc_utils.circuits.circuit import Circuit
    from kc_utils.circuits.graph_content import GraphFile
    from kc_utils.circuits.graph_files import SUFFIXES, read_graph
    from kc_utils.circuits.score_files import read_scores_with_graph

    if file.suffix in SUFFIXES:
        if name is not None:
            raise KcError(f"--name {shown(name)} has no effect: {file} holds one graph.")
        return read_graph(file)
    scores, graph = read_scores_with_graph(file)
    if name is None and len(scores) > 1:
        raise KcError(f"{file} holds several scores; choose with --name: {_some(scores)}.")
    if name is not None and name not in scores:
        raise KcError(f"{file} holds no scores {shown(name)}; there are: {_some(scores)}.")
    chosen = next(iter(scores.values())) if name is None else scores[name]
    return GraphFile(chosen.double(), Circuit(graph, graph.real_edges & False, 0), 0)


def _some(names: Iterable[str]) -> str:
    return ", ".join(sorted(names)[:20])


def _write(out: Path, found: GraphFile) -> None:
    from kc_utils import artifacts
    from kc_utils.circuits import strongest_edges
    from kc_utils.circuits.graph_files import SUFFIXES, write_graph
    from kc_utils.circuits.networks import network

    graph, circuit = found.graph, found.circuit
    if out.suffix in SUFFIXES:
        if not found.d_model:
            raise KcError(f"{out} stores the width of the model, which a file of edge scores or of "
                          "an early EAP-IG does not give; write .html or .graphml.")  # fmt: skip
        write_graph(out, found)
    elif out.suffix == ".graphml":
        import networkx as nx

        drawn = network(circuit, found.scores)
        artifacts.write_atomically(out, lambda p: nx.write_graphml(drawn, p))
    else:
        from kc_utils.plots.interactive.drawing import circuit_drawing

        table = strongest_edges(found.scores, circuit)
        circuit_drawing(table, graph.n_layers, graph.n_heads).save(out)
