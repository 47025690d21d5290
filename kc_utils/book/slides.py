"""Slides for the demonstrations of a workshop: chosen cells of executed notebooks, by nbconvert.

``demonstrations.toml`` names the figures and asks the questions. The slides are one HTML file with
reveal.js (MIT licence, in ``deck/``) inside it: they need no network and no server.
"""

from __future__ import annotations

import base64
import html
import json
import tomllib
from collections.abc import Iterator, Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

from kc_utils import artifacts
from kc_utils.errors import KcError, shown
from kc_utils.runs.folder import Run
from kc_utils.runs.inside import refuse_inside_run
from kc_utils.study.pipeline import check_executed

NAME = "slides.html"
_PLAN = "demonstrations.toml"
_TEMPLATE = "deck"


def write_slides(run_dir: str | Path, out: Path | None = None) -> Path:
    """Write the slides of a run as one HTML file and return its path.

    Args:
        run_dir: a run whose notebooks have been executed.
        out: the file; ``slides.html`` in the run's folder by default.

    Raises:
        KcError: ``out`` is no HTML file, or one among the results of a run; a notebook or a figure
            is missing, a notebook is not what the run executed last, or nbconvert is not installed.
    """
    if out is not None and out.suffix != ".html":  # it could be a file of the run
        raise KcError(f"--out {shown(str(out))} is not possible; allowed are names of *.html.")
    run, wanted = Run.open(run_dir), plan()
    out = run.path / NAME if out is None else out
    refuse_inside_run(out, "--out", but_in=run.path)
    check_executed(run, _planned(wanted))
    text = as_html(deck(run.path / "notebooks", wanted, run.command()))
    artifacts.write_atomically(out, lambda partial: partial.write_text(text, encoding="utf-8"))
    return out


def slides_of(notebooks: Path, command: str = "kc run") -> str | None:
    """The slides as HTML, or None where the project has other notebooks than those planned.

    ``command`` executes the notebooks, for messages.
    """
    wanted = plan()
    there = all((notebooks / f"{name}.ipynb").is_file() for name in _planned(wanted))
    return as_html(deck(notebooks, wanted, command)) if there else None


def plan() -> dict[str, Any]:
    """The title of the deck, and its demonstrations in their order."""
    return tomllib.loads(files(__package__).joinpath(_PLAN).read_text(encoding="utf-8"))


def _planned(wanted: Mapping[str, Any]) -> list[str]:
    """Names of the notebooks whose figures are shown, each once."""
    figures = [figure for d in wanted["demonstration"] for figure in d["figures"]]
    return list(dict.fromkeys(figure.rpartition("/")[0] for figure in figures))


def deck(notebooks: Path, wanted: Mapping[str, Any], command: str = "kc run") -> dict[str, Any]:
    """A notebook whose cells say with nbconvert's metadata which slide they are on.

    A demonstration is a column of slides: its question, then a figure on each.

    Args:
        notebooks: folder of executed notebooks.
        wanted: as :func:`plan` returns it.
        command: executes the notebooks, for messages.

    Raises:
        KcError: a notebook or a figure is missing.
    """
    about = wanted["deck"]
    cells = [_prose(f"# {about['title']}\n\n{about['subtitle']}", "slide")]
    for number, demonstration in enumerate(wanted["demonstration"], start=1):
        title = demonstration["title"]
        try_it = f"\n\n```bash\n{demonstration['command']}\n```"
        cells.append(_prose(f"## {number}. {title}\n{demonstration['ask']}{try_it}", "slide"))
        for figure in demonstration["figures"]:
            cells.append(_prose(f"### {title}", "subslide"))
            cells.append(_figure(notebooks, figure, command))
    cells.append(_prose(f"## Before you go\n{about['close']}", "slide"))
    for number, cell in enumerate(cells):
        cell["id"] = f"slide-cell-{number}"
    metadata = {key: about[key] for key in ("title", "description")}
    return {"cells": cells, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}


def as_html(notebook: Mapping[str, Any]) -> str:
    """The notebook as one page with reveal.js in it.

    Raises:
        KcError: nbconvert is not installed.
    """
    try:
        import nbformat
        from nbconvert import SlidesExporter
    except ImportError as error:
        raise KcError(f"Slides need nbconvert ({error}); 'pip install kc-utils[book]'.") from None
    exporter = SlidesExporter(
        template_name=_TEMPLATE,
        extra_template_basedirs=[str(files(__package__))],
        exclude_input=True,
        exclude_input_prompt=True,
        exclude_output_prompt=True,
        exclude_anchor_links=True,
    )
    text, _ = exporter.from_notebook_node(nbformat.from_dict(dict(notebook)))
    return text


def _prose(text: str, kind: str) -> dict[str, Any]:
    metadata = {"slideshow": {"slide_type": kind}}
    return {"cell_type": "markdown", "metadata": metadata, "source": text}


def _figure(notebooks: Path, where: str, command: str) -> dict[str, Any]:
    """The cell that drew a figure, with the figure alone as its output."""
    name, _, figure = where.rpartition("/")
    path, again = notebooks / f"{name}.ipynb", f"'{command}' executes it again."
    if not path.is_file():
        raise KcError(
            f"{path} is missing, so the slides have no {figure}; '{command}' executes it."
        )
    try:
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    except (ValueError, KeyError, TypeError):
        raise KcError(f"{path} is damaged: not a notebook; {again}") from None
    for cell in cells:
        drawn = cell["metadata"].get("mystnb", {})
        if drawn.get("figure", {}).get("name") == figure:
            picture = next(_pictures(cell, drawn["image"]["alt"]), None)
            if picture is None:
                raise KcError(f"{path} holds no picture of {figure}; {again}")
            output = {"output_type": "display_data", "metadata": {}, "data": {"text/html": picture}}
            metadata = {"slideshow": {"slide_type": "-"}}
            source = "".join(cell["source"])
            return cell | {"metadata": metadata, "outputs": [output], "source": source}
    raise KcError(f"{path} has no figure {figure!r}; {again}")


def _pictures(cell: Mapping[str, Any], alt: str) -> Iterator[str]:
    """The pictures of a cell as HTML: images with an alternative text, or figures with a script."""
    for output in cell["outputs"]:
        data = output.get("data", {})
        if "image/svg+xml" in data:
            svg = "".join(data["image/svg+xml"]).encode()
            source = f"data:image/svg+xml;base64,{base64.b64encode(svg).decode()}"
            yield f'<div class="deck-figure"><img src="{source}" alt="{html.escape(alt)}"></div>'
        elif "text/html" in data:
            yield f'<div class="deck-figure"><div>{"".join(data["text/html"])}</div></div>'
