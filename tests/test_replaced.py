"""A folder is replaced as a whole, whoever was killed while doing it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from kc_utils.errors import KcError
from kc_utils.runs import replaced
from kc_utils.runs.replaced import replace_folder, replacing

#: Replaces a folder, and kills itself at its n-th renaming of a folder, or while it writes (0).
_KILLED = """
import os, signal, sys
from pathlib import Path
from kc_utils.runs.replaced import replacing

at, rename = int(sys.argv[2]), Path.rename
left = [at]
def killed(self, target):
    left[0] -= 1
    if left[0] == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return rename(self, target)
Path.rename = killed
with replacing(Path(sys.argv[1])) as folder:
    (folder / "text").write_text("new")
    if at == 0:
        os.kill(os.getpid(), signal.SIGKILL)
"""


def text(out: Path) -> str:
    return (out / "text").read_text()


def fill(words: str):
    return lambda folder: (folder / "text").write_text(words)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """A folder whose text is 'old', with neighbours whose names look like what is left of it."""
    place = tmp_path / "here" / "out"
    replace_folder(place, fill("old"))
    for name in (".out.2.1.partial", ".out.partial", ".out.x.old", ".other.1.old"):
        (place.parent / name).mkdir()
    return place


@pytest.mark.slow
@pytest.mark.parametrize("at", [0, 1, 2])
def test_what_a_killed_writer_left_is_put_back_or_removed(out: Path, at: int) -> None:
    beside = {path.name for path in out.parent.iterdir()}
    killed = subprocess.run([sys.executable, "-c", _KILLED, str(out), str(at)], check=False)
    assert killed.returncode == -signal.SIGKILL
    left = {path.name for path in out.parent.iterdir()} - beside
    assert any(name.endswith(".partial") for name in left)  # the control
    assert out.exists() == (at < 2)
    with replacing(out) as folder:
        assert text(out) == "old"
        (folder / "text").write_text("newer")
    assert text(out) == "newer"
    assert {path.name for path in out.parent.iterdir()} == beside


@pytest.mark.parametrize("error", [KcError("No."), KeyboardInterrupt()])
def test_a_block_that_fails_changes_nothing(out: Path, error: BaseException) -> None:
    beside = {path.name for path in out.parent.iterdir()}
    with pytest.raises(type(error)):
        with replacing(out) as folder:
            (folder / "text").write_text("new")
            raise error
    assert text(out) == "old"
    assert {path.name for path in out.parent.iterdir()} == beside


def test_a_second_writer_waits_and_is_then_refused(out: Path, monkeypatch) -> None:
    monkeypatch.setattr(replaced, "SECONDS_TO_WAIT", 0.2)
    with replacing(out):
        with pytest.raises(KcError, match=rf"being written by process {os.getpid()} "):
            replace_folder(out, fill("second"))
    assert list(out.iterdir()) == []  # the first one's, which wrote nothing
    replace_folder(out, fill("third"))
    assert text(out) == "third"


def test_partial_files_of_others_are_left_alone(out: Path) -> None:
    (out / ".mine.1.partial").write_text("mine")
    with pytest.raises(KcError):
        with replacing(out):
            raise KcError("It holds something else.")
    assert (out / ".mine.1.partial").read_text() == "mine"
