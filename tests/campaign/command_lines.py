"""Words behind every command that nobody thought of, where no command computes anything."""

from __future__ import annotations

import io
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, chdir, contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from unittest import mock

import typer
from hypothesis import strategies as st

from kc_utils.cli.app import app
from kc_utils.cli.outcome import DONE, REFUSED, outcome
from kc_utils.config import profiles
from kc_utils.errors import KcError
from kc_utils.runs.folder import Run

#: Where commands begin what takes long, or write where the book reads: they get no further.
_STOPPED = (
    "kc_utils.study.pipeline.run_study", "kc_utils.book.build.build_book",
    "kc_utils.benchmark.ground_truth.cases", "kc_utils.sweep.command.compute",
    "kc_utils.study.claims.ledger.ledger", "kc_utils.facts.compute_study.Inquiry",
    "kc_utils.cli.doctor.examine.examine",
)  # fmt: skip
#: What lies in the folder of a case, and names of what does not.
_PLACES = ("run", "run/tables/x", "run/run.json", "folder", "folder/new", "file", "file/x", "loop",
           "new", "new.html", "facts.jsonl", "graph.json", "graph.pt", "scores.safetensors", ".",
           "", "\udcff")  # fmt: skip
_NUMBERS = ("-1", "0", "1", "2", "010", "1.5", "1e3", "nan", "inf", "99999999999", str(2**64))
_KNOWN = ("smoke", "tiny", "world", "claims", "city", "ioi", "first", "eap", "0..m-1", "seed=010",
          "seed=1", "model.source=hub", "world.imported=folder", "base.given=folder",
          "abc={subject}", "tls://127.0.0.1:1", "0,1")  # fmt: skip
#: Nothing outside of the folder is named, and no word holds what the system allows in none.
_WORDS = st.text(max_size=30).filter(
    lambda word: not {"/", "~", "\0"} & {*word} and ".." not in word
)
_VALUES = st.sampled_from(_PLACES) | st.sampled_from(_NUMBERS) | st.sampled_from(_KNOWN) | _WORDS
COMMANDS = typer.main.get_command(app).commands
#: Commands whose exit code 1 is an answer.
_ANSWERING = ("parity", "doctor")


@st.composite
def command_lines(draw: st.DrawFn) -> list[str]:
    """A command with some of its options and arguments, or with words that are neither."""
    name = draw(st.sampled_from([*COMMANDS, "nosuch"]))
    words = [name]
    for param in COMMANDS[name].params if name in COMMANDS else ():
        if not (param.required or draw(st.integers(0, 3)) == 0):
            continue
        if param.param_type_name == "option":
            words.append(draw(st.sampled_from([*param.opts, *param.secondary_opts])))
        if not getattr(param, "is_flag", False):
            words.append(draw(_VALUES))
    if draw(st.integers(0, 9)) == 0:
        words.append(draw(_VALUES))
    return words


def try_words(words: list[str], folder: Path) -> None:
    """Call ``kc`` with these words in a new ``folder``; what is in it is kept beside it.

    Raises:
        AssertionError: it ends in anything but an answer or one sentence, or leaves half of
            something behind.
    """
    shutil.rmtree(folder, ignore_errors=True)
    furnished = folder.with_name(f"{folder.name}-as-new")
    if not furnished.exists():
        _furnish(furnished)
    shutil.copytree(furnished, folder, symlinks=True)
    said, answer = io.StringIO(), io.StringIO()
    with chdir(folder), nothing_computed(), redirect_stdout(answer), redirect_stderr(said):
        code = outcome(lambda: app(words))
    text = said.getvalue()
    if code == REFUSED:
        assert text.startswith("kc: ") and text.endswith(".\n"), f"{words}: {text!r}"
        assert len(text.splitlines()) == 1, f"{words}: several lines: {text!r}"
    else:
        answered = code == 1 and words[0] in _ANSWERING and "unexpected" not in text
        assert code == DONE or answered, f"{words}: exit code {code}: {text!r}"
    ends = (".partial", ".lock", ".old")
    left = [p.name for p in folder.rglob("*") if p.name.startswith(".") and p.name.endswith(ends)]
    assert not left, f"{words}: left behind {left}"


@contextmanager
def nothing_computed() -> Iterator[None]:
    """Inside, commands end in a sentence where they would begin to compute."""
    with ExitStack() as stack:
        for place in _STOPPED:
            stopped = KcError(f"Here {place} would begin.")
            stack.enter_context(mock.patch(place, side_effect=stopped))
        yield


def _furnish(folder: Path) -> None:
    """A run without results, a link to itself, and files of every kind that commands read."""
    (folder / "folder").mkdir(parents=True)
    Run.create(folder / "run", profiles.load("smoke"))
    os.symlink("loop", folder / "loop")
    fact = {"subject": "Anna", "relation": "city", "object": "Rome"}
    (folder / "facts.jsonl").write_text(json.dumps(fact))
    for name in ("file", "graph.json", "graph.pt", "scores.safetensors"):
        (folder / name).write_text("{}")
