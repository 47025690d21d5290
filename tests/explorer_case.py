"""Using the explorer in tests: open a tab, change a control, read what a view says."""

from __future__ import annotations

from typing import Any

from kc_utils.explorer.app import TABS, App
from kc_utils.explorer.html import MESSAGE

PROMPT = "Somebody whom nobody knows lives in the city of"


def html(app: App, name: str) -> str:
    """What a view shows."""
    outputs = app.outputs[name].outputs
    return outputs[0]["data"]["text/html"] if outputs else ""


def look(app: App, tab: str) -> None:
    app.tabs.selected_index = list(TABS).index(tab)


def change(app: App, name: str, place: int = 0) -> None:
    """Set a control to another value that it offers."""
    widget = app.controls.widgets[name]
    if name == "prompt":
        widget.value = PROMPT
        return
    offered = [value for _, value in widget.options if value != widget.value]
    widget.value = offered[place]


def choose(app: App, name: str, value: Any) -> None:
    """Set a control and have all views of the open tab drawn."""
    app.controls.widgets[name].value = value
    app.soon.now()


def sentences(app: App) -> list[str]:
    """The messages in the open tab."""
    found = [html(app, view) for view in app.shown]
    return [text.removeprefix(MESSAGE) for text in found if text.startswith(MESSAGE)]
