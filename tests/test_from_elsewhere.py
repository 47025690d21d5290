"""The package without its project, as a wheel installs it: what it cannot do, it says."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from kc_utils.book.build import build_book
from kc_utils.config import profiles
from kc_utils.errors import KcError
from kc_utils.runs.folder import Run

ROOT = Path(__file__).resolve().parent.parent
KC = "from kc_utils.cli.main import main; main()"


def below(folder: Path) -> set[Path]:
    return set(folder.rglob("*"))


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder like site-packages, with the package alone in it."""
    site = tmp_path_factory.mktemp("wheel") / "site-packages"
    ignored = shutil.ignore_patterns("__pycache__", "base")
    shutil.copytree(ROOT / "kc_utils", site / "kc_utils", ignore=ignored)
    return site


@pytest.mark.slow
@pytest.mark.parametrize(
    "arguments",
    [
        ("student", "--out", "workshop"),
        ("book",),
        ("run", "--profile", "smoke"),
    ],
)
def test_what_needs_the_checkout_says_so_before_anything_is_written(
    arguments: tuple[str, ...], site: Path, tmp_path: Path
) -> None:
    if arguments == ("book",):
        Run.create(tmp_path / "mine", profiles.load("smoke"))
        arguments = ("book", "--run-dir", str(tmp_path / "mine"))
    before = below(site), below(tmp_path)
    done = subprocess.run(
        [sys.executable, "-c", KC, *arguments],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(site), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2 and done.stderr.count("\n") == 1, done.stderr
    assert f"kc: kc {arguments[0]}" in done.stderr
    assert f"needs a checkout of the project, and {site} has no " in done.stderr
    assert (below(site), below(tmp_path)) == before


def test_a_book_without_its_pages_says_what_it_needs(tmp_path: Path) -> None:
    run = Run.create(tmp_path / "mine", profiles.load("smoke"))
    with pytest.raises(
        KcError, match=r"kc book needs a checkout .* has no _config\.yml, _toc\.yml"
    ):
        build_book(run.path, tmp_path)
    assert [p.name for p in run.path.iterdir()] == ["run.json"]
