"""The one exception that users are meant to read, how it quotes what they gave, and their paths."""

from __future__ import annotations

import reprlib
import shlex
from pathlib import Path
from typing import Any

MOST_SHOWN = 200  # characters of a value in a message


class KcError(Exception):
    """A mistake in the input: one sentence with the offending value and what is allowed.

    The command line prints it without a traceback and exits with code 2.
    """


def shown(value: Any, most: int = MOST_SHOWN) -> str:
    """``repr(value)`` for a message, cut in its middle to ``most`` characters.

    Long texts, lists and numbers are cut before they are written out: a value of 100 MB costs no
    more than a short one.
    """
    if isinstance(value, int) and value.bit_length() > 4 * most:
        return f"a number of {value.bit_length()} bits"  # Python refuses to write out long ones
    writer = reprlib.Repr()
    writer.maxstring = writer.maxlong = writer.maxother = most
    writer.maxlist = writer.maxtuple = writer.maxdict = writer.maxset = 20
    writer.maxlevel = 3
    try:
        text = writer.repr(value)
    except ValueError:  # a long number inside of a list
        return f"a {type(value).__name__} with a number too long to write out"
    return cut(text, most)


def cut(text: str, most: int = MOST_SHOWN) -> str:
    """``text`` without its middle if it is longer than ``most`` characters."""
    if len(text) <= most:
        return text
    tail = (most - 3) // 3
    return f"{text[: most - 3 - tail]}...{text[len(text) - tail :]}"


def in_shell(path: str | Path) -> str:
    """A path as it has to be typed in a command that a message proposes in single quotes."""
    quoted = shlex.quote(str(path))
    return f'"{path}"' if quoted == f"'{path}'" and not set(str(path)) & set('"$`\\!') else quoted


def typed_path(path: str | Path) -> Path:
    """A path as a user typed it, with ``~`` written out.

    Raises:
        KcError: no path but a number or the like, the home of a user who is not there, or a name
            that is not UTF-8, which records and notebooks cannot hold.
    """
    if not isinstance(path, str | Path):
        raise KcError(f"{shown(path)} is no path; a path is text in quotes.")
    try:
        str(path).encode()
        return Path(path).expanduser()
    except UnicodeEncodeError:
        why = "it is not UTF-8; allowed are names that are"
    except RuntimeError:
        why = "there is no such user; allowed are ~ and users of this machine"
    raise KcError(f"The path {shown(str(path))} is not possible: {why}.")
