"""The explorer as widgets: controls above, views below in tabs, drawn when they are looked at.

Of several calls in quick succession only the last is made.
"""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable
from functools import cache
from typing import Any

import ipywidgets as widgets

from kc_utils.errors import KcError
from kc_utils.explorer.curve import missing_sizes
from kc_utils.explorer.html import MESSAGE, STYLE, library, message, to_html
from kc_utils.explorer.input_widgets import Controls
from kc_utils.explorer.state import State
from kc_utils.explorer.views import VIEWS

#: Tabs, and the views in them.
TABS: dict[str, tuple[str, ...]] = {
    "Circuit": ("circuit", "curve"),
    "Heads": ("heads", "head_table"),
    "Logit lens": ("lens", "lens_table"),
    "Edges": ("edges",),
    "Your prompt": ("tokens", "next_tokens", "prompt_lens", "attention"),
}
_HEADINGS = {
    "curve": "Faithfulness over size",
    "heads": "Heads that say most about the answer",
    "lens": "Rank of the right token by layer",
    "next_tokens": "Likeliest next tokens",
    "prompt_lens": "Logit lens of the prompt",
    "attention": "Attention patterns",
}
_ROW = widgets.Layout(display="flex", flex_flow="row wrap", align_items="center", width="100%")
_COLUMN = widgets.Layout(width="100%")


@cache
def _spare_the_collector() -> None:
    """Take what is there already out of the garbage collector's rounds, once in a process.

    A figure leaves cycles behind, so drawing many of them starts full collections. Those walk
    through everything that torch and transformers have imported, a second at a time.
    """
    gc.freeze()


class App:
    """Widgets around a :class:`State`; show ``box``.

    ``drawn`` counts how often each view was drawn.
    """

    def __init__(self, state: State) -> None:
        _spare_the_collector()
        self.state = state
        self.drawn = dict.fromkeys(VIEWS, 0)
        self._keys: dict[str, Any] = {}
        self._html: dict[str, str] = {}
        self._example = 0
        self.outputs = {name: widgets.Output() for name in VIEWS}
        self.library = widgets.Output()  # stays in the page, so that it survives a reload
        self.notice = widgets.HTML()
        self.controls = Controls(self._changed)
        self.button = widgets.Button(layout=widgets.Layout(width="auto", flex="0 1 auto"))
        self.button.on_click(lambda _: self.measure())
        self.progress = widgets.IntProgress(
            description="", layout=widgets.Layout(display="none", width="200px")
        )
        self.example = widgets.Button(
            description="Example", tooltip="Another query of the chosen circuit's people"
        )
        self.example.on_click(lambda _: self._next_example())
        self.tabs = widgets.Tab([self._page(title) for title in TABS], layout=_COLUMN)
        self.tabs.titles = list(TABS)
        self.tabs.observe(lambda _: self.draw(), "selected_index")
        self.soon = Throttle(self.draw)
        self.box = self._box()
        self._show_choice()
        self.draw()

    def _box(self) -> widgets.VBox:
        named = self.controls.widgets
        rows = (("run",), ("task", "kind", "band", "ablation"), ("step", "n"))
        parts = [widgets.HTML(STYLE)]
        parts += [widgets.Box([named[name] for name in row], layout=_ROW) for row in rows]
        box = widgets.VBox([*parts, self.notice, self.tabs, self.library], layout=_COLUMN)
        box.add_class("kc-explorer")
        return box

    def _page(self, title: str) -> widgets.VBox:
        parts: list[widgets.Widget] = []
        named = self.controls.widgets
        for name in TABS[title]:
            if name in _HEADINGS:
                parts.append(widgets.HTML(f"<h3>{_HEADINGS[name]}</h3>"))
            if name == "tokens":
                parts.append(widgets.Box([named["prompt"], self.example], layout=_ROW))
            if name == "attention":
                parts.append(widgets.Box([named["layer"]], layout=_ROW))
            parts.append(self.outputs[name])
            if name == "curve":
                parts.append(widgets.Box([self.button, self.progress], layout=_ROW))
        return widgets.VBox(parts, layout=_COLUMN)

    @property
    def shown(self) -> tuple[str, ...]:
        """The views of the open tab."""
        return TABS[list(TABS)[self.tabs.selected_index or 0]]

    def draw(self) -> None:
        """Draw the views of the open tab whose controls have changed since they were drawn."""
        for name in self.shown:
            key = self.state.key(name)
            if self._keys.get(name) != key:
                self._keys[name] = key
                self.drawn[name] += 1
                self._html[name] = self._drawn_now(name)
        said = set()  # what several views of a tab lack is said once
        for name in self.shown:
            html = self._html[name]
            self._put(self.outputs[name], "" if html in said else html)
            said |= {html} if html.startswith(MESSAGE) else set()
        if "curve" in self.shown:
            self._offer_measuring()

    def _drawn_now(self, name: str) -> str:
        try:
            html = to_html(self.state.view(name), self.state.alt(name))
        except KcError as error:
            return message(str(error))
        if name == "attention" and not self.library.outputs:
            self._put(self.library, library())
        return html

    def _put(self, output: widgets.Output, html: str) -> None:
        data = {"text/html": html, "text/plain": ""}
        shown = ({"output_type": "display_data", "data": data, "metadata": {}},) if html else ()
        if output.outputs != shown:
            output.outputs = shown

    def _changed(self, name: str, value: Any) -> None:
        self.notice.value = ""
        try:
            if name == "run":
                self.state.open(value)
            else:
                self.state.set(**{name: value})
        except KcError as error:
            self.notice.value = message(str(error))
        if name == "run":
            self._show_choice()
        self.soon()

    def _show_choice(self) -> None:
        self.controls.show(self.state.data, self.state.choice, self.state.runs())

    def _next_example(self) -> None:
        self._example += 1
        state = self.state
        self.controls.widgets["prompt"].value = state.data.example(state.choice, self._example)

    def _offer_measuring(self) -> None:
        missing = len(missing_sizes(self.state.data, self.state.choice))
        self.button.disabled = not missing
        sizes = "1 size" if missing == 1 else f"{missing} sizes"
        self.button.description = (
            f"Measure {sizes} more" if missing else "Every size of this curve is measured"
        )

    def measure(self) -> None:
        """What the button does: evaluate the missing sizes with a progress bar."""
        self.button.disabled = True
        self.progress.layout.display = None
        try:
            self.state.measure(self._progress)
        except KcError as error:
            self.notice.value = message(str(error))
        finally:
            self.progress.layout.display = "none"
        self.soon.now()

    def _progress(self, done: int, total: int) -> None:
        self.progress.max, self.progress.value = max(total, 1), done
        self.progress.description = f"{done} of {total}"


class Throttle:
    """Calls ``function`` once, ``seconds`` after the last time that it was asked for.

    In a kernel, changes that arrive while a figure is drawn wait in a queue; a slider that is
    dragged would draw each of them. Without a running event loop the call is made at once.
    """

    def __init__(self, function: Callable[[], None], seconds: float = 0.05) -> None:
        self.function, self.seconds = function, seconds
        self._waiting: asyncio.TimerHandle | None = None

    def __call__(self) -> None:
        """Ask for a call."""
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            self.function()
            return
        self.cancel()
        self._waiting = loop.call_later(self.seconds, self.now)

    def now(self) -> None:
        """Make the call at once, instead of one that waits."""
        self.cancel()
        self.function()

    def cancel(self) -> None:
        """Forget a call that waits."""
        if self._waiting:
            self._waiting.cancel()
        self._waiting = None
