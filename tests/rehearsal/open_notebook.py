"""A notebook that is open in JupyterLab: what a participant does to its cells, and sees of them."""

from __future__ import annotations

import time
from pathlib import PurePosixPath

from playwright.sync_api import Locator, Page

from .lab_server import Lab

MINUTES = 5  # no cell takes longer
_READY = '.jp-Notebook-ExecutionIndicator[data-status="idle"]'
_CELL = '.jp-Notebook [data-windowed-list-index="{}"]'
#: Whether a cell carries the number of an execution; it is a star while it runs.
_NUMBERED = """cell => /^\\[\\d+\\]/.test(
  document.querySelector(cell + ' .jp-InputPrompt').textContent.trim())"""
#: Whether all code cells are numbered from one without a gap, or one of them has failed.
_ENDED = """() => {
  const shown = [...document.querySelectorAll('.jp-Notebook .jp-CodeCell .jp-InputPrompt')]
    .map(prompt => prompt.textContent.trim());
  const whole = shown.every((text, i) => text.startsWith(`[${i + 1}]`));
  return whole || document.querySelector('.jp-Notebook [data-mime-type$="stderr"]') !== null;
}"""


class OpenNotebook:
    """A notebook in a page of its own; cells are named by their index in the file.

    Args:
        page: a page of the browser.
        lab: the server.
        path: the notebook, below the folder that is served.
        n_cells: cells that the file has; ready is what shows all of them and has a kernel.
    """

    def __init__(self, page: Page, lab: Lab, path: PurePosixPath, n_cells: int) -> None:
        self.page, self._lab = page, lab
        page.set_default_timeout(60_000 * MINUTES)
        started = time.perf_counter()
        page.goto(f"{lab.url}lab/tree/{path}?token={lab.token}&reset")
        page.locator(_CELL.format(n_cells - 1)).wait_for(state="attached")
        page.locator(_READY).wait_for(state="attached")
        self.seconds_to_open = time.perf_counter() - started

    def run(self, cell: int) -> float:
        """Press Shift+Enter on a cell; seconds until it has ended."""
        self._cell(cell).locator(".jp-InputPrompt").click()
        started = time.perf_counter()
        self.page.keyboard.press("Shift+Enter")
        self.page.wait_for_function(_NUMBERED, arg=_CELL.format(cell))
        return time.perf_counter() - started

    def write(self, cell: int, text: str) -> None:
        """Put ``text`` in place of what a code cell holds."""
        self._cell(cell).locator(".cm-content").click()
        self.page.keyboard.press("Control+a")
        self.page.keyboard.press("Delete")
        # Typed as one piece, so that the editor neither indents nor closes brackets.
        self.page.keyboard.insert_text(text)

    def run_all_anew(self) -> float:
        """Restart the kernel and run all cells, with the button for it; seconds until the end."""
        self.page.locator('[data-command="notebook:restart-run-all"]').first.click()
        started = time.perf_counter()
        self.page.locator(".jp-Dialog .jp-mod-accept").click()
        self.page.wait_for_function(_ENDED)
        return time.perf_counter() - started

    def said(self, cell: int) -> str:
        """What stands below a cell."""
        return "\n".join(self._cell(cell).locator(".jp-OutputArea-output").all_inner_texts())

    def complaints(self, cell: int | None = None) -> list[str]:
        """Errors and warnings below a cell, or below any: what is shown on a red ground."""
        place = self.page.locator(".jp-Notebook") if cell is None else self._cell(cell)
        shown = place.locator('.jp-OutputArea-output[data-mime-type$="stderr"]')
        return [text.strip() for text in shown.all_inner_texts()]

    def widgets(self) -> int:
        """Widgets that can be seen."""
        return self.page.locator(".jp-Notebook .jupyter-widgets:visible").count()

    def close(self) -> None:
        """End the kernel, which holds memory, and close the page."""
        headers = {"Authorization": f"token {self._lab.token}"}
        sessions = f"{self._lab.url}api/sessions"
        for session in self.page.request.get(sessions, headers=headers).json():
            self.page.request.delete(f"{sessions}/{session['id']}", headers=headers)
        self.page.close()

    def _cell(self, index: int) -> Locator:
        cell = self.page.locator(_CELL.format(index))
        cell.scroll_into_view_if_needed()
        return cell
