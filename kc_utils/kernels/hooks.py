"""Torch hooks that are gone when their ``with`` block ends."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

from torch import Tensor, nn


class Hooks(ExitStack):
    """See what goes into modules and what comes out, or change it.

    ``with Hooks() as hooks: hooks.output(module, function)``. The function gets the tensor; what it
    returns takes the tensor's place, unless it is None.
    """

    def output(
        self,
        module: nn.Module,
        function: Callable[[Tensor], Tensor | None],
        *,
        first: bool = False,
    ) -> None:
        """Call ``function`` with what ``module`` puts out, after the hooks that are there already
        or, with ``first``, before them."""

        def hook(_: nn.Module, __: Any, output: Any) -> Any:
            return function(output)

        self.callback(module.register_forward_hook(hook, prepend=first).remove)

    def input(self, module: nn.Module, function: Callable[[Tensor], Tensor | None]) -> None:
        """Call ``function`` with the first thing that ``module`` takes in."""

        def hook(_: nn.Module, args: tuple[Any, ...]) -> Any:
            changed = function(args[0])
            return None if changed is None else (changed, *args[1:])

        self.callback(module.register_forward_pre_hook(hook).remove)
