"""Options that were typed but would change nothing, or that no machine could do: refused."""

from __future__ import annotations

from collections import Counter
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from typer.core import TyperCommand

from kc_utils.cli.usage import in_a_sentence
from kc_utils.errors import KcError, in_shell, shown, typed_path

#: Parameter -> option, of those that were typed in the command that is called now.
_TYPED: ContextVar[dict[str, str] | None] = ContextVar("typed", default=None)
#: Words of the command line that is read now, its command's name first.
_WORDS: ContextVar[tuple[str, ...]] = ContextVar("words", default=())


class Command(TyperCommand):
    """A command that remembers which of its options were typed, with their defaults or not."""

    def make_context(self, info_name: str | None, args: list[str], *rest: Any, **more: Any) -> Any:
        """Read the words behind the command's name; KcError for those that cannot be."""
        with in_a_sentence(self, f"kc {info_name}"):
            return super().make_context(info_name, args, *rest, **more)

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the options; of one that takes one value the parser would keep the last.

        Raises:
            KcError: such an option was typed twice, or a path begins with the home of nobody.
        """
        _WORDS.set((ctx.info_name or "", *args))
        *_, found = self.make_parser(ctx).parse_args(args=list(args))
        times = Counter(p.opts[0] for p in found if p.opts[0][:1] == "-" and not p.multiple)
        twice = [option for option, n in times.items() if n > 1]
        if twice:
            raise KcError(f"{twice[0]} is given {times[twice[0]]} times; allowed is once.")
        left = super().parse_args(ctx, args)
        for name, value in ctx.params.items():
            # Shells write the home out in "--out ~/x", not in "--out=~/x".
            if isinstance(value, Path) and str(value).startswith("~"):
                ctx.params[name] = typed_path(value)
        return left

    def invoke(self, ctx: Any) -> Any:
        """Call the command's function."""
        options = {p.name: p.opts[0] for p in self.params if p.name is not None}
        sources = {name: ctx.get_parameter_source(name) for name in options}
        typed = {n: o for n, o in options.items() if sources[n] and sources[n].name != "DEFAULT"}
        _TYPED.set(typed)
        return super().invoke(ctx)


def typed_without(option: str) -> str:
    """The command line as it was typed, without ``option`` and its value, for a message."""
    words = list(_WORDS.get())
    if option in words:
        at = words.index(option)
        del words[at : at + 2]
    kept = (word for word in words if not word.startswith(f"{option}="))
    return " ".join(["kc", *map(in_shell, kept)])


def refuse_idle(where: str, *names: str) -> None:
    """Refuse the first of these parameters that was typed, with its default value or another.

    Args:
        where: the circumstances, for example "without --model".
        names: parameters of the command's function.

    Raises:
        KcError: naming the option.
    """
    typed = _TYPED.get() or {}
    for name in names:
        if name in typed:
            raise KcError(f"{typed[name]} has no effect {where}; leave it out.")


def refuse_outside(least: int, most: int, **given: int | None) -> None:
    """Refuse the first of these numbers that is out of bounds; None was not given.

    Args:
        least: smallest number that is possible.
        most: largest one.
        given: parameters of the command's function.

    Raises:
        KcError: naming the option, the number and the bounds.
    """
    for name, value in given.items():
        if value is not None and not least <= value <= most:
            raise KcError(
                f"--{name.replace('_', '-')} {shown(value)} is not possible; allowed are whole "
                f"numbers from {least} to {most:,}."
            )
