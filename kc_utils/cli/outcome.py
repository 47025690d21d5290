"""How a command ends: an exit code and at most one sentence, whatever happened inside.

0: done; 1: it says what is missing, or something that nobody expected went wrong; 2: the input or
the machine has to change first; 130: interrupted. A Python traceback goes into a file.
"""

from __future__ import annotations

import contextlib
import errno
import gc
import os
import re
import shutil
import sys
from collections.abc import Callable
from concurrent.futures.process import BrokenProcessPool

from kc_utils.cli.interrupts import INTERRUPTED, SENTENCE
from kc_utils.errors import KcError, cut
from kc_utils.runs.report import write_report

DONE, UNEXPECTED, REFUSED = 0, 1, 2
MOST_OF_A_LINE = 2000  # characters of one line of a message
#: What the file system says about its own state, not about a mistake in this package.
_OF_THE_MACHINE = frozenset(
    getattr(errno, name)
    for name in (
        "EACCES", "EPERM", "EROFS", "ENOSPC", "EDQUOT", "EFBIG", "EIO", "ENOENT", "ENOTDIR",
        "EISDIR", "EEXIST", "ENOTEMPTY", "ENAMETOOLONG", "ELOOP", "EMFILE", "ENFILE", "ENOMEM",
        "EBUSY", "ETXTBSY", "ESTALE", "EXDEV", "EINVAL", "ENODEV", "ENXIO", "EPIPE",
    )
    if hasattr(errno, name)
)  # fmt: skip
#: What to do about a package that is not there.
EXTRAS = (
    "in a checkout 'make install' brings it, elsewhere pip install 'kc-utils[book,lab,sweep]', of "
    "which the engine needs none."
)
_NEXT_LINE = re.compile(r"\n(?=  )")
_LOOP = re.compile(r"Symlink loop from '(.*)'")  # Python 3.13 says it as other programs do
_OF_RUST = re.compile(r"\(os error (\d+)\)")  # how libraries in Rust write an errno
_OF_COPIES = re.compile(r"\[Errno (\d+)\]")  # how shutil does that copied several files


def outcome(command: Callable[[], object]) -> int:
    """Call ``command``, say in one sentence what went wrong, and return the exit code."""
    try:
        code = _called(command)
    except KeyboardInterrupt:
        code = INTERRUPTED
    except Exception as error:
        code = _failed(error)
    except BaseException as error:  # panics of libraries in Rust
        if type(error).__name__ != "PanicException":
            raise
        code = _unexpected(error)
    if code == INTERRUPTED:
        gc.collect()  # bars of progress that the interrupt left open end their lines
        say(SENTENCE)
    return _flushed(code)


def say(sentence: str) -> None:
    """One message on standard error, if there is one; its lines are cut where they are endless.

    Only indented lines begin a new one. Names of files may hold line breaks and orders to the
    terminal: these are written out.
    """
    if sys.stderr is None:
        return
    lines = "\n".join(cut(_visible(line), MOST_OF_A_LINE) for line in _NEXT_LINE.split(sentence))
    with contextlib.suppress(OSError, ValueError):
        print(f"kc: {lines}", file=sys.stderr, flush=True)


def _visible(text: str) -> str:
    """``text`` with escapes in place of characters that are not drawn."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _called(command: Callable[[], object]) -> int:
    try:
        command()
    except SystemExit as end:  # how Typer says that a command has ended
        if end.code is None or isinstance(end.code, int):
            return end.code or DONE
        say(str(end.code))
        return UNEXPECTED
    return DONE


def _failed(error: Exception) -> int:
    if isinstance(error, KcError):
        say(str(error))
        return REFUSED
    if isinstance(error, BrokenProcessPool):
        say(
            "A worker process was killed, perhaps because memory ran out; start the same command "
            "again, it goes on with what is done."
        )
        return REFUSED
    if isinstance(error, MemoryError):
        say("There is not enough memory for this.")
        return REFUSED
    if isinstance(error, ModuleNotFoundError) and not str(error.name).startswith("kc_utils"):
        say(f"{error}; {EXTRAS}")
        return REFUSED
    code = _machine_error(error)
    if code is None:
        return _unexpected(error)
    if code == errno.EPIPE or _output_error():  # said once, when the output is flushed
        return UNEXPECTED if code == errno.EPIPE else REFUSED
    loop = _LOOP.match(str(error))
    file = loop.group(1) if loop else getattr(error, "filename", None)
    if isinstance(error, shutil.Error):  # of the files that could not be copied, the first
        file = error.args[0][0][1]
    named = isinstance(file, str | bytes | os.PathLike)
    what = cut(repr(os.fsdecode(file))) if named else "A file or the standard output"
    say(f"{what} cannot be used: {os.strerror(code)}.")
    return REFUSED


def _machine_error(error: Exception) -> int | None:
    """The errno of an error that is the machine's, also where a library wrote it into a text."""
    if isinstance(error, OSError) and error.errno in _OF_THE_MACHINE:
        return error.errno
    if isinstance(error, RuntimeError) and _LOOP.match(str(error)):
        return errno.ELOOP
    pattern = _OF_COPIES if isinstance(error, shutil.Error) else _OF_RUST
    found = pattern.search(str(error))
    code = int(found.group(1)) if found else None
    return code if code in _OF_THE_MACHINE else None


def _unexpected(error: BaseException) -> int:
    lines = str(error).strip().splitlines()
    reason = f" ({cut(lines[0])})" if lines else ""
    try:
        where = f"the full report is in {write_report(error)!r}."
    except OSError as problem:
        where = f"no report could be written ({problem.strerror})."
    say(f"An unexpected {type(error).__name__} ended this command{reason}; {where}")
    return UNEXPECTED


def _output_error() -> OSError | ValueError | None:
    """Why what was printed cannot be written; a ValueError says that the output is closed."""
    for stream in (sys.stdout, sys.__stdout__):
        try:
            if stream is not None:
                stream.flush()
        except (OSError, ValueError) as error:
            return error
    return None


def _flushed(code: int) -> int:
    """The exit code after what is left of the output is written, which can fail too.

    Python would try that again when it ends, and complain in its own way.
    """
    error = _output_error()
    if error is None:
        return code
    with contextlib.suppress(OSError, ValueError, AttributeError):
        nothing = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nothing, sys.__stdout__.fileno())
        os.close(nothing)
    if isinstance(error, ValueError) or error.errno == errno.EPIPE:  # nobody reads any more
        return code or UNEXPECTED
    say(f"The standard output cannot be written: {error.strerror}.")
    return code or REFUSED
