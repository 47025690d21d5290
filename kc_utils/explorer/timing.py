"""How long the explorer takes to answer: one control is changed, and the time is taken."""

from __future__ import annotations

import time
from typing import Any

import pandas as pd

from kc_utils.explorer.app import TABS, App


def milliseconds(app: App, name: str, value: Any) -> float:
    """Set the control ``name`` to ``value`` and wait until all views of the open tab are drawn."""
    started = time.perf_counter()
    app.controls.widgets[name].value = value
    app.soon.now()
    return 1000 * (time.perf_counter() - started)


def time_controls(app: App) -> pd.DataFrame:
    """Change every control in every tab to another value that it offers.

    Columns: tab, control, milliseconds, drawn (number of views that were drawn). Controls that
    offer one value only are left out.
    """
    rows = []
    for i, tab in enumerate(TABS):
        app.tabs.selected_index = i
        app.soon.now()
        for name, widget in app.controls.widgets.items():
            offered = [v for _, v in getattr(widget, "options", ())]
            if name == "prompt":
                offered = [app.state.choice.prompt, app.state.choice.prompt + " the"]
            others = [value for value in offered if value != widget.value]
            if not others or name == "run":
                continue
            before = sum(app.drawn.values())
            took = milliseconds(app, name, others[len(others) // 2])
            rows.append((tab, name, took, sum(app.drawn.values()) - before))
    return pd.DataFrame(rows, columns=["tab", "control", "milliseconds", "drawn"])
