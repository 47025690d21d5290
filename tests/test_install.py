"""``make install``: which Python it takes, what it asks pip for, and that all is pinned."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
CANDIDATES = ("python3.11", "python3.12", "python3.13", "python3")
PYTORCH = "download.pytorch.org"
# An interpreter of any version: it answers code as this one would if it were of that version, makes
# environments that hold a copy of itself, and writes down what else it is asked for.
INTERPRETER = """#!/bin/sh
case "$1 $2" in
  "-c "*) exec {real} -c "import sys; sys.version_info = {version}; exec(sys.argv[1])" "$2" ;;
  "-m venv") mkdir -p "$3/bin" && cp "$0" "$3/bin/python" ;;
esac
echo "{name} $*" >> "{calls}"
"""
BROKEN = "#!/bin/sh\nexit 127\n"


def lock(name: str) -> dict[str, str]:
    """Package -> version of a lock file; every line that is not a comment must be an exact pin."""
    lines = (ROOT / name).read_text("utf-8").splitlines()
    pins = [Requirement(line) for line in lines if line and not line.startswith("#")]
    assert all([s.operator for s in pin.specifier] == ["=="] for pin in pins), name
    return {canonicalize_name(pin.name): next(iter(pin.specifier)).version for pin in pins}


class Checkout:
    """A project folder with nothing installed, on a machine whose interpreters the test decides."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.programs, self.calls = folder, folder / "programs", folder / "calls"
        self.programs.mkdir()
        for name in (
            "Makefile",
            "pyproject.toml",
            "requirements.lock",
            "requirements.hashes",
            "requirements-smollm2.lock",
        ):
            shutil.copy(ROOT / name, folder)
        for name in CANDIDATES:
            self.program(name, BROKEN)

    def program(self, name: str, text: str) -> Path:
        path = self.programs / name
        path.write_text(text)
        path.chmod(0o755)
        return path

    def python(self, name: str, version: tuple[int, int]) -> Path:
        values = {"name": name, "version": (*version, 0), "calls": self.calls}
        return self.program(name, INTERPRETER.format(real=sys.executable, **values))

    def install(self, *arguments: str) -> subprocess.CompletedProcess:
        own = {name: os.environ[name] for name in ("HOME", "LANG") if name in os.environ}
        return subprocess.run(
            ["make", "install", *arguments],
            cwd=self.folder,
            env=own | {"PATH": f"{self.programs}{os.pathsep}{os.environ['PATH']}"},
            capture_output=True,
            text=True,
        )

    def asked(self) -> list[str]:
        """What the interpreters were asked for, in order."""
        return self.calls.read_text().splitlines() if self.calls.is_file() else []


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path)


def test_the_first_usable_python_is_taken(checkout: Checkout) -> None:
    checkout.python("python3.12", (3, 12))
    checkout.python("python3", (3, 11))
    done = checkout.install()
    assert done.returncode == 0, done.stderr
    assert checkout.asked()[0] == "python3.12 -m venv .venv"


@pytest.mark.parametrize("version", [(3, 9), (3, 10), (3, 11), (3, 12), (3, 13), (3, 14)])
def test_make_takes_the_versions_that_the_project_allows(
    checkout: Checkout, version: tuple[int, int]
) -> None:
    checkout.python("python3", version)
    allowed = SpecifierSet(PROJECT["requires-python"]).contains("{}.{}.0".format(*version))
    done = checkout.install()
    assert (done.returncode == 0) == allowed
    assert bool(checkout.asked()) == allowed


def test_without_a_usable_python_one_sentence_says_what_to_install(checkout: Checkout) -> None:
    done = checkout.install()
    assert done.returncode != 0
    said = done.stderr.splitlines()[0]
    assert all(name in said for name in CANDIDATES) and "apt-get install python3" in said
    assert not (checkout.folder / ".venv").exists()


def test_a_python_that_is_named_is_taken_or_refused_by_name(checkout: Checkout) -> None:
    checkout.python("python3.11", (3, 11))
    refused = checkout.install("PYTHON=no-such-python")
    assert refused.returncode != 0 and "no-such-python" in refused.stderr
    assert checkout.install(f"PYTHON={checkout.python('mine', (3, 12))}").returncode == 0
    assert checkout.asked()[0] == "mine -m venv .venv"


def test_the_lock_binds_the_resolver_and_pytorch_org_is_not_needed(checkout: Checkout) -> None:
    checkout.python("python3.11", (3, 11))
    assert checkout.install().returncode == 0
    (resolved,) = [call for call in checkout.asked() if "--editable .[test]" in call]
    assert "--requirement requirements.lock" in resolved and "--no-deps" not in resolved
    assert not any(PYTORCH in call for call in checkout.asked())


def test_digests_are_checked_before_anything_is_resolved_and_can_be_left_out(
    checkout: Checkout,
) -> None:
    checkout.python("python3.11", (3, 11))
    assert checkout.install().returncode == 0
    hashed, resolved = checkout.asked()[-2:]
    assert "--no-deps --require-hashes --requirement requirements.hashes" in hashed
    assert "--editable .[test]" in resolved
    shutil.rmtree(checkout.folder / ".venv")
    before = len(checkout.asked())
    assert checkout.install("HASHES=").returncode == 0
    assert not any("hashes" in call for call in checkout.asked()[before:])


def test_every_pin_but_pytorch_has_digests() -> None:
    text = (ROOT / "requirements.hashes").read_text("utf-8").replace("\\\n", " ")
    lines = [line.split() for line in text.splitlines() if not line.startswith("#")]
    pins = {canonicalize_name(pin.partition("==")[0]): pin.partition("==")[2] for pin, *_ in lines}
    assert pins == {k: v for k, v in lock("requirements.lock").items() if k != "torch"}
    for pin, *digests in lines:
        assert digests, pin
        assert all(re.fullmatch(r"--hash=sha256:[0-9a-f]{64}", text) for text in digests), pin


def test_the_cpu_build_is_taken_on_request_and_torch_alone_from_there(checkout: Checkout) -> None:
    checkout.python("python3.11", (3, 11))
    assert checkout.install("TORCH=cpu").returncode == 0
    (torch,) = [call for call in checkout.asked() if PYTORCH in call]
    resolved = checkout.asked()[-1]
    assert torch.endswith("--constraint requirements.lock torch")
    assert "--editable .[test]" in resolved and PYTORCH not in resolved


def test_another_build_of_pytorch_is_refused(checkout: Checkout) -> None:
    checkout.python("python3.11", (3, 11))
    done = checkout.install("TORCH=gpu")
    assert done.returncode != 0 and "TORCH=gpu" in done.stderr and "cpu" in done.stderr
    assert checkout.asked() == []


def test_an_installation_that_fails_is_not_taken_for_done(checkout: Checkout) -> None:
    failing = INTERPRETER + 'case "$*" in *--editable*) exit 1 ;; esac\n'
    values = {"name": "python3.11", "version": (3, 11, 0), "calls": checkout.calls}
    checkout.program("python3.11", failing.format(real=sys.executable, **values))
    assert checkout.install().returncode != 0
    assert not list((checkout.folder / ".venv").glob(".installed*"))


def test_the_lock_pins_everything_that_the_project_asks_for() -> None:
    pins = lock("requirements.lock")
    extras = {k: v for k, v in PROJECT["optional-dependencies"].items() if k != "smollm2"}
    asked = [line for lines in (PROJECT["dependencies"], *extras.values()) for line in lines]
    for wanted in map(Requirement, asked):
        if wanted.name == "kc-utils":  # an extra that takes in others
            assert wanted.extras <= extras.keys()
            continue
        assert wanted.specifier.contains(pins[canonicalize_name(wanted.name)]), wanted
    smollm2 = lock("requirements-smollm2.lock")
    for wanted in map(Requirement, PROJECT["optional-dependencies"]["smollm2"]):
        assert wanted.specifier.contains(smollm2[canonicalize_name(wanted.name)]), wanted


def test_what_is_installed_here_is_what_the_lock_says() -> None:
    pins = lock("requirements.lock")
    here = {canonicalize_name(d.name): Version(d.version).public for d in metadata.distributions()}
    assert {name: here[name] for name in pins if name in here and here[name] != pins[name]} == {}


def test_conda_binder_and_colab_install_with_the_lock() -> None:
    for name in ("environment.yml", ".binder/environment.yml"):
        named = {d for d in dependencies_of(name) if isinstance(d, str)}
        assert {"python=3.11", "make"} <= named, name
    (conda,) = [d["pip"] for d in dependencies_of("environment.yml") if isinstance(d, dict)]
    assert conda == ["--requirement requirements.lock", "--editable .[test]"]
    binder = ROOT / ".binder" / "postBuild"
    assert os.access(binder, os.X_OK) and "make install TORCH=cpu" in binder.read_text("utf-8")
    cells = json.loads((ROOT / ".colab" / "start.ipynb").read_text("utf-8"))["cells"]
    (install,) = ["".join(c["source"]) for c in cells if c["id"] == "install"]
    assert "!make install" in install


def dependencies_of(name: str) -> list[str | dict[str, list[str]]]:
    """The packages of a conda environment file."""
    return yaml.safe_load((ROOT / name).read_text("utf-8"))["dependencies"]
