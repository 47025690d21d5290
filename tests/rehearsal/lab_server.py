"""JupyterLab on a folder, as a participant starts it, with nobody's settings."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from kc_utils import artifacts
from kc_utils.errors import KcError

SECONDS_TO_START = 180
SECONDS_TO_STOP = 30
#: No request to anybody's server for news and new versions.
_ASK_NOBODY = (
    "--LabApp.news_url=",
    "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
)
#: Where Jupyter and IPython would read or leave something of the user.
_OWN = ("JUPYTER_RUNTIME_DIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "IPYTHONDIR")


@dataclass(frozen=True)
class Lab:
    """A server that answers: its address with a slash at the end, its token, seconds to start."""

    url: str
    token: str
    seconds: float


@contextmanager
def jupyter_lab(folder: Path, own: Path) -> Iterator[Lab]:
    """Serve ``folder`` on a free port of the loopback; ``own`` is for Jupyter's own files.

    Raises:
        KcError: the server does not start.
    """
    program = str(Path(sys.executable).with_name("jupyter"))
    command = [program, "lab", "--no-browser", "--ip=127.0.0.1", "--port=0", *_ASK_NOBODY]
    if os.geteuid() == 0:
        command.append("--allow-root")
    environment = os.environ | {name: str(own / name.lower()) for name in _OWN}
    own.mkdir(parents=True, exist_ok=True)
    started = time.perf_counter()
    with (own / "jupyter.log").open("wb") as log:
        process = subprocess.Popen(
            command, cwd=folder, env=environment, stdout=log, stderr=subprocess.STDOUT
        )
        try:
            told = _told(process, own)
            yield Lab(told["url"], told["token"], time.perf_counter() - started)
        finally:
            process.terminate()  # its kernels end with it
            try:
                process.wait(SECONDS_TO_STOP)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _told(process: subprocess.Popen, own: Path) -> dict[str, str]:
    """Address and token, from the file that a server writes for its own user once it listens."""
    until = time.monotonic() + SECONDS_TO_START
    while time.monotonic() < until and process.poll() is None:
        for file in (own / _OWN[0].lower()).glob("jpserver-*.json"):
            if file.stat().st_size:
                return artifacts.read_json(file)
        time.sleep(0.1)
    said = (own / "jupyter.log").read_text(errors="replace").strip().splitlines()[-3:]
    raise KcError(f"JupyterLab does not start in {SECONDS_TO_START} s: {' | '.join(said)}.")
