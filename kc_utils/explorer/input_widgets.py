"""The widgets of the explorer: one widget for each value of a choice, every one with a label."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import ipywidgets as widgets

from kc_utils.explorer.data import Choice, RunData
from kc_utils.plots.style import label_of

_ABLATIONS = {"corrupted": "corrupted values", "zero": "zeros", "mean": "means"}
_LABELS = {
    "run": "Run",
    "task": "Relation",
    "kind": "Knowledge",
    "band": "Frequency",
    "step": "Checkpoint (epoch)",
    "n": "Edges kept, n",
    "ablation": "Ablation",
    "prompt": "Your prompt",
    "layer": "Layer",
}
_HINTS = {
    "run": "Runs with circuits below the folder of runs",
    "task": "What the queries ask for",
    "kind": "Was the subject known before training?",
    "band": "How many biographies of a person were trained on",
    "step": "Training so far, in epochs",
    "n": "Size of the circuit before pruning",
    "ablation": "What flows through edges outside of the circuit; matters for faithfulness",
    "prompt": "Press Enter to read it",
    "layer": "Whose attention patterns are shown",
}
_SLIDERS = ("step", "n")
_LABEL = 150  # pixels, for the longest label


class Controls:
    """Widgets by the name of their value. Changes by a person are told to ``changed(name, value)``;
    :meth:`show` sets values without telling."""

    def __init__(self, changed: Callable[[str, Any], None]) -> None:
        self.changed = changed
        self._quiet = False
        self.widgets: dict[str, widgets.Widget] = {
            "run": widgets.Dropdown(),
            "step": widgets.SelectionSlider(options=[("0", 0)], continuous_update=True),
            "n": widgets.SelectionSlider(options=[("1", 1)], continuous_update=True),
            "prompt": widgets.Text(continuous_update=False),
        }
        for name in ("task", "kind", "band", "ablation", "layer"):
            self.widgets[name] = widgets.Dropdown()
        for name, widget in self.widgets.items():
            widget.description, widget.tooltip = _LABELS[name], _HINTS[name]
            widget.style.description_width = f"{_LABEL}px"
            basis = 480 if name in _SLIDERS else 330
            widget.layout = widgets.Layout(flex=f"1 1 {basis}px", width="auto", min_width="280px")
            widget.observe(lambda change, name=name: self._tell(name, change["new"]), "value")

    def show(self, data: RunData, choice: Choice, runs: dict[str, Path]) -> None:
        """Offer exactly what the run holds, and show the current choice."""
        self._quiet = True
        try:
            options = {
                name: [(_words(name, value, data), value) for value in values]
                for name, values in data.values.items()
            }
            options["run"] = list(runs.items())
            for name, offered in options.items():
                value = data.run.path if name == "run" else getattr(choice, name)
                widget = self.widgets[name]
                if list(widget.options) != offered:
                    widget.options = offered
                widget.value = value
            self.widgets["prompt"].value = choice.prompt
        finally:
            self._quiet = False

    def _tell(self, name: str, value: Any) -> None:
        if not self._quiet:
            self.changed(name, value)


def _words(name: str, value: Any, data: RunData) -> str:
    if name == "step":
        return f"{data.epoch(value):g}"
    if name == "n":
        return f"{value:,}"
    if name == "ablation":
        return _ABLATIONS[value]
    return label_of(name, value) if name in ("kind", "band") else str(value)
