"""A file for what nobody expected: the traceback that no message shows."""

from __future__ import annotations

import sys
import tempfile
import traceback


def write_report(error: BaseException) -> str:
    """Path of a new file of this user alone, with the traceback and the command.

    Raises:
        OSError: it cannot be written.
    """
    text = "".join(traceback.format_exception(error))
    with tempfile.NamedTemporaryFile(
        "w", prefix="kc-report-", suffix=".txt", delete=False, encoding="utf-8",
        errors="backslashreplace",
    ) as file:  # fmt: skip
        file.write(f"Python {sys.version}\ncommand: {sys.argv!r}\n\n{text}")
    return file.name
