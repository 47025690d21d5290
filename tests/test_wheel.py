"""The package as others install it: built, alone in an empty folder, with what it asks for only."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from tiny_models import GOLDEN

pytestmark = pytest.mark.slow  # builds a wheel
ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXAMPLE = """
from kc_utils.circuits import AttributionSettings, PairBatch, attribute, boot_bridge
from kc_utils.circuits import evaluate_circuit, graph_of, top_n, write_scores
bridge = boot_bridge("model")
batch = PairBatch.from_lists([[1, 2, 3]], [[1, 4, 3]], [5], [6])
scores = attribute(bridge, batch, AttributionSettings(steps=2))
circuit = top_n(scores, graph_of(bridge), 100)
write_scores(__import__("pathlib").Path("scores.safetensors"), {"all": scores}, circuit.graph)
print(circuit.n_edges, evaluate_circuit(bridge, batch, circuit).faithfulness)
"""


def needed(names: list[str]) -> set[str]:
    """Distributions that ``names`` need, themselves included, as far as they are installed."""
    found: set[str] = set()
    waiting = [(Requirement(name), "") for name in names]
    while waiting:
        wanted, extra = waiting.pop()
        if wanted.marker is not None and not wanted.marker.evaluate({"extra": extra}):
            continue
        name = canonicalize_name(wanted.name)
        if name in found:
            continue
        try:
            asked = metadata.requires(name) or []
        except metadata.PackageNotFoundError:  # a build of PyTorch for another machine
            continue
        found.add(name)
        waiting += [(Requirement(line), extra) for line in asked for extra in (*wanted.extras, "")]
    return found


def link(names: set[str], folder: Path) -> None:
    """Put the installed files of these distributions, and no others, into ``folder``."""
    for name in names:
        for file in metadata.distribution(name).files or []:
            first = file.parts[0]
            target = folder / first
            if first not in ("..", "__pycache__") and not target.exists():
                target.symlink_to(Path(str(file.locate())).parents[len(file.parts) - 1] / first)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    skip = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "kc_utils", source / "kc_utils", ignore=skip)
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(out)]
    subprocess.run([*build, str(source)], check=True, timeout=300)
    (made,) = out.glob("kc_utils-*.whl")
    return made


@pytest.fixture(scope="module")
def site(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where Python finds the wheel's files and its requirements without extras."""
    folder = tmp_path_factory.mktemp("site")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    names = needed(PROJECT["dependencies"])
    link(names - {"kc-utils"}, folder)
    return folder


def run(site: Path, folder: Path, code: str) -> subprocess.CompletedProcess:
    """Python without its own site-packages (-S), in ``folder``."""
    own = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "KC_"))}
    return subprocess.run(
        [sys.executable, "-S", "-c", code],
        cwd=folder,
        env=own | {"PYTHONPATH": str(site)},
        capture_output=True,
        text=True,
        timeout=300,
    )


def test_the_engine_runs_without_the_packages_of_the_book(site: Path, tmp_path: Path) -> None:
    shutil.copytree(GOLDEN / "gpt2_tiny" / "model", tmp_path / "model")
    for name in ("jupyter_book", "papermill", "dask", "ipywidgets", "matplotlib"):
        assert run(site, tmp_path, f"import {name}").returncode, f"control: {name} is out of reach"
    done = run(site, tmp_path, EXAMPLE)
    assert done.returncode == 0, done.stderr[-2000:]
    assert re.fullmatch(r"\d+ -?[\d.]+\n", done.stdout)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model", "scores.safetensors"]


def test_the_command_line_says_what_it_lacks(site: Path, tmp_path: Path) -> None:
    code = "import sys; sys.argv = ['kc', {}]; from kc_utils.cli.main import main; main()"
    write = "from kc_utils.circuits import *; from pathlib import Path; import torch\n"
    write += "g = Graph(2, 2); s = torch.from_numpy(g.real_edges * 1.0)\n"
    write += "write_graph(Path('graph.json'), GraphFile(s, top_n(s, g, 0), 8))"
    assert run(site, tmp_path, write).returncode == 0
    words = "'draw', 'graph.json', '--top', '20'"
    drawn = run(site, tmp_path, code.format(f"{words}, '--out', 'c.graphml'"))
    assert drawn.returncode == 0, drawn.stderr
    lacking = run(site, tmp_path, code.format(words))  # a page is drawn by the plots
    assert lacking.returncode == 2
    (line,) = lacking.stderr.splitlines()
    assert line.startswith("kc: No module named ") and "kc-utils[book,lab,sweep]" in line
    assert not (tmp_path / "graph.html").exists()


def test_the_wheel_holds_its_data_and_nothing_of_the_project_around_it(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    assert {name.split("/")[0].partition("-")[0] for name in names} == {"kc_utils"}
    inside = {str(path.relative_to(ROOT)) for path in (ROOT / "kc_utils").rglob("*")
              if path.is_file() and "__pycache__" not in path.parts}  # fmt: skip
    assert inside <= set(names)


def test_every_extra_is_part_of_what_tests_install() -> None:
    extras = PROJECT["optional-dependencies"]
    assert {"study", "book", "lab", "sweep"} <= extras.keys()
    assert needed(PROJECT["dependencies"]).isdisjoint({"jupyter-book", "dask", "jupyterlab"})
    assert "kc-utils[book,lab,sweep]" in extras["test"]
