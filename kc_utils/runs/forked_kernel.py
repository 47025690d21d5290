"""Kernels of notebooks that are forked from a process in which the library is already imported.

To import PyTorch, Transformers and TransformerLens takes several seconds of a core, and a run
executes thirty notebooks. Here one server (:mod:`multiprocessing.forkserver`) imports what they
import, once, and each kernel is a fork of it. The server only imports: when it forks it has no
thread and no computation of its own, and every kernel starts with nothing that another one made.
"""

from __future__ import annotations

import ast
import atexit
import gc
import json
import multiprocessing
import os
import signal
import sys
import threading
import uuid
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from jupyter_client import AsyncKernelManager, KernelConnectionInfo, KernelManager
from jupyter_client.provisioning import LocalProvisioner

from kc_utils.runs.jobs import die_with_parent

FORKING = sys.platform == "linux"
_LAUNCHER = "ipykernel_launcher"
_INLINE = "module://matplotlib_inline.backend_inline"


def import_beforehand(notebooks: Iterable[Path]) -> None:
    """Let the server import what these notebooks import; without effect once it has started."""
    if not FORKING:
        return
    names = sorted({name for notebook in notebooks for name in imported(notebook)})
    multiprocessing.set_forkserver_preload(["ipykernel.kernelapp", "ipykernel.ipkernel", *names])


def imported(notebook: Path) -> set[str]:
    """Modules named in import statements of a notebook's cells."""
    found: set[str] = set()
    for cell in json.loads(notebook.read_text("utf-8"))["cells"]:
        lines = "".join(cell["source"]).splitlines() if cell["cell_type"] == "code" else []
        tree = ast.parse("\n".join(line for line in lines if not line.startswith(("%", "!"))))
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                found |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                found.add(node.module)
    return found


class ForkingKernels(KernelManager):
    """Starts kernels as forks where that is possible: see :class:`ForkingProvisioner`."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.kernel_id = str(uuid.uuid4())
        self.provisioner = ForkingProvisioner(
            kernel_id=self.kernel_id, kernel_spec=self.kernel_spec, parent=self
        )


class AsyncForkingKernels(ForkingKernels, AsyncKernelManager):
    """The same for callers that wait with ``await``, as nbclient does."""


class ForkingProvisioner(LocalProvisioner):
    """A local kernel that is forked, if it is IPython's of this environment.

    Another kernel is started as its specification says, and so is every kernel of a daemonic
    process, which may have no children of this kind, and of systems on which a fork of a process
    with these libraries is not safe (macOS) or not there (Windows).
    """

    async def launch_kernel(self, cmd: list[str], **kwargs: Any) -> KernelConnectionInfo:
        """Start the process; its connection is that of the file in ``cmd``."""
        daemon = multiprocessing.current_process().daemon
        if not FORKING or _LAUNCHER not in cmd or daemon:
            return await super().launch_kernel(cmd, **kwargs)
        arguments = cmd[cmd.index(_LAUNCHER) + 1 :]
        self.cwd = kwargs.get("cwd") or os.getcwd()
        process = multiprocessing.get_context("forkserver").Process(
            target=_be_kernel, args=(arguments, str(self.cwd), dict(kwargs["env"]))
        )
        process.start()
        self.process = _Process(process)
        self.pid = self.pgid = self.process.pid
        return self.connection_info


class _Process:
    """What a provisioner asks of a :class:`subprocess.Popen`."""

    stdin = stdout = stderr = None

    def __init__(self, process: multiprocessing.process.BaseProcess) -> None:
        self._process, self.pid = process, process.pid

    def poll(self) -> int | None:
        return self._process.exitcode

    def wait(self) -> int | None:
        self._process.join()
        return self._process.exitcode

    def send_signal(self, number: int) -> None:
        if self.poll() is None and self.pid:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)


def _be_kernel(arguments: list[str], folder: str, environment: dict[str, str]) -> None:
    """All of the life of a kernel, in the fork."""
    gc.freeze()  # what was imported stays: to look at it again and again would copy all of it
    os.setsid()  # signals for it reach what it has started too, and nothing else
    threading.Thread(target=die_with_parent, daemon=True).start()
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    os.environ["JPY_PARENT_PID"] = str(os.getppid())
    sys.argv = [_LAUNCHER, *arguments]
    if "matplotlib" in sys.modules:  # imported, it has read what the kernel is about to set
        sys.modules["matplotlib"].rcParams["backend"] = _INLINE
    from ipykernel import kernelapp

    try:
        kernelapp.launch_new_instance(argv=arguments)
    finally:
        atexit._run_exitfuncs()  # a fork of the server ends without them
