"""Entry point of ``kc``: from its first line to its last, with Ctrl-C at any moment."""

from __future__ import annotations

import sys

from kc_utils.cli import interrupts


def main() -> None:
    """Run the command: whatever happens ends with an exit code and at most one sentence."""
    interrupts.end_at_once()
    from kc_utils.cli.app import start  # its imports take seconds

    ended = interrupts.end_in_order()
    try:
        code = start()
    except KeyboardInterrupt:  # just before the command began, or just after it ended
        code = interrupts.said()
    ended()
    if code == interrupts.INTERRUPTED:
        interrupts.leave()
    sys.exit(code)
