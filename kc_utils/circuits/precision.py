"""Numbers of a model in its own dtype, whatever surrounds the call.

``torch.autocast`` would round the sums over writers that the engine makes, but not those that the
model makes, so that all edges together would no longer be the model.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import torch

DEVICES = ("cpu", "cuda", "mps", "xpu")


@contextmanager
def own_precision() -> Iterator[None]:
    """No ``torch.autocast`` inside, on any device; also a decorator, ``@own_precision()``."""
    with ExitStack() as stack:
        for kind in DEVICES:
            if torch.is_autocast_enabled(kind):
                stack.enter_context(torch.autocast(kind, enabled=False))
        yield
