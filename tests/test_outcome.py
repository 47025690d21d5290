"""However a command ends: its exit code, one sentence, and never a traceback on the screen."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import pytest

from kc_utils import artifacts
from kc_utils.cli.outcome import outcome
from kc_utils.errors import KcError
from kc_utils.runs.replaced import replace_folder

KC = [sys.executable, "-c", "from kc_utils.cli.main import main; main()"]


class PanicException(BaseException):
    """What a panic in Rust looks like in Python: no Exception, and of a class without a module."""


def raising(error: BaseException) -> Callable[[], None]:
    def command() -> None:
        raise error

    return command


def full() -> None:
    with open("/dev/full", "w") as file:
        file.write("x" * 100_000)


def full_in(write: Callable[[Path, Callable[[Path], None]], object]) -> Callable[[], None]:
    """Writes ``out`` with a function that writes aside first, on a disk that is full."""

    def fill(_: Path) -> None:
        full()

    def command() -> None:
        with tempfile.TemporaryDirectory() as folder:
            write(Path(folder) / "out", fill)

    return command


def loop() -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "loop")
        path.symlink_to(path)
        path.resolve(strict=True)  # 3.13 resolves others without following them


@pytest.mark.slow
@pytest.mark.parametrize(
    ("command", "code", "words"),
    [
        (lambda: None, 0, None),
        (raising(SystemExit()), 0, None),
        (raising(SystemExit(1)), 1, None),
        (raising(SystemExit(130)), 130, "interrupted"),
        (raising(KeyboardInterrupt()), 130, "interrupted"),
        (raising(KcError("No such thing.")), 2, "kc: No such thing.\n"),
        (lambda: Path("/dev/null/run").mkdir(), 2, "'/dev/null/run' cannot be used: Not a dir"),
        (lambda: Path("/proc/none/run").mkdir(), 2, "'/proc/none/run' cannot be used: No such"),
        (lambda: Path("/proc/none").mkdir(), 2, "'/proc/none' cannot be used"),
        (full, 2, "No space left on device"),
        (full_in(artifacts.write_atomically), 2, "/out' cannot be used: No space left on device."),
        (full_in(replace_folder), 2, "/out' cannot be used: No space left on device."),
        (
            raising(
                shutil.Error([("a", "b", "[Errno 28] No space left on device"), ("c", "d", "")])
            ),
            2,
            "'b' cannot be used: No space left on device.",
        ),
        (loop, 2, "/loop' cannot be used: Too many levels of symbolic links."),
        (raising(ValueError("I/O error: No space left on device (os error 28)")), 2, "No space"),
        (raising(PermissionError(errno.EACCES, "", "x")), 2, "'x' cannot be used: Permission"),
        (raising(MemoryError()), 2, "not enough memory"),
        (raising(BrokenProcessPool("x")), 2, "worker process was killed"),
        (raising(BrokenPipeError(errno.EPIPE, "")), 1, None),
    ],
)
def test_an_end_is_a_code_and_at_most_one_line(command, code, words, capsys) -> None:
    assert outcome(command) == code
    said = capsys.readouterr().err
    if words is None:
        assert said == ""
    else:
        assert words in said and said.startswith("kc: ") and said.count("\n") == 1, said


@pytest.mark.parametrize("error", [RuntimeError("no\nidea " + "x" * 10**6), PanicException("oh")])
def test_the_unexpected_is_one_sentence_with_a_report(error, capsys, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert outcome(raising(error)) == 1
    said = capsys.readouterr().err
    (report,) = tmp_path.iterdir()
    assert said.count("\n") == 1 and len(said) < 1000
    assert type(error).__name__ in said and str(report) in said
    text = report.read_text()
    assert "Traceback" in text and "raise error" in text and str(error)[:9] in text
    assert report.stat().st_mode & 0o077 == 0


def test_without_a_place_for_the_report_it_is_still_one_sentence(capsys, monkeypatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", "/dev/null")
    assert outcome(raising(RuntimeError("x"))) == 1
    said = capsys.readouterr().err
    assert "no report could be written" in said and said.count("\n") == 1


def test_other_ends_of_the_process_are_not_swallowed() -> None:
    with pytest.raises(GeneratorExit):
        outcome(raising(GeneratorExit()))


def test_endless_lines_of_a_message_are_cut_and_its_lines_are_kept(capsys) -> None:
    assert outcome(raising(KcError("a\n  " + "b" * 10**7 + "\n  c"))) == 2
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "kc: a" and lines[2] == "  c" and 1000 < len(lines[1]) < 3000


def test_names_of_files_give_no_orders_to_the_terminal_and_begin_no_line(capsys) -> None:
    assert outcome(raising(KcError("a\nb\x1b[2J\x85c\u2028d\u202ee\udcffö 漢 is missing."))) == 2
    said = capsys.readouterr().err
    assert said == "kc: a\\nb\\x1b[2J\\x85c\\u2028d\\u202ee\\udcffö 漢 is missing.\n"


def run(stdout, **more) -> tuple[int, str]:
    done = subprocess.run(
        [*KC, "profiles"], stdout=stdout, stderr=subprocess.PIPE, text=True, **more
    )
    return done.returncode, done.stderr


def test_a_full_output_and_one_that_nobody_reads_give_no_traceback() -> None:
    with open("/dev/full", "w") as nowhere:
        code, said = run(nowhere)
    assert code == 2 and said.startswith("kc: ") and said.count("\n") == 1, said
    assert "standard output" in said and said.endswith(": No space left on device.\n")
    reader, writer = os.pipe()
    os.close(reader)
    code, said = run(writer)
    os.close(writer)
    assert (code, said) == (1, "")
