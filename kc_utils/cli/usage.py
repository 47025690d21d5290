"""What the option parser refuses, in one sentence like every other mistake."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from typing import Any

import typer
from typer.core import TyperGroup

from kc_utils.errors import KcError, cut, shown

#: The parser's own exception for a command line that cannot be read.
UsageError = typer.BadParameter.__base__
#: What a value may be, by the kind of refusal.
_ALLOWED = {
    "int_parsing": "whole numbers",
    "int_parsing_size": "whole numbers of less than 4,300 digits",
    "int_from_float": "whole numbers",
    "float_parsing": "numbers",
    "greater_than_equal": "numbers from {ge} on",
    "less_than_equal": "numbers up to {le}",
}


class Group(TyperGroup):
    """All commands: an unknown one is named, with those that there are."""

    def make_context(self, info_name: str | None, args: list[str], *rest: Any, **more: Any) -> Any:
        """Read the words in front of the command; without any the help is shown."""
        if not args:
            return super().make_context(info_name, args, *rest, **more)
        with in_a_sentence(self, "kc"):
            return super().make_context(info_name, args, *rest, **more)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The command that the first word names.

        Raises:
            KcError: there is none of this name.
        """
        if args and args[0] not in self.commands:
            near = _meant(get_close_matches(args[0], self.commands))
            raise KcError(
                f"Unknown command {shown(args[0])}{near}; allowed are {', '.join(self.commands)}."
            )
        return super().resolve_command(ctx, args)


@contextmanager
def in_a_sentence(command: Any, name: str) -> Iterator[None]:
    """Turn the parser's complaints inside of the block into a :class:`KcError`.

    Args:
        command: whose words are read.
        name: how it is called, for example "kc run".
    """
    try:
        yield
    except UsageError as error:
        raise KcError(_sentence(error, command, name)) from None


def _sentence(error: Any, command: Any, name: str) -> str:
    if hasattr(error, "possibilities"):
        options = [o for p in command.params for o in p.opts if o.startswith("-")]
        near = _meant(error.possibilities or ())
        plain = str(error.option_name).lstrip("-").replace("-", "_")
        for param in command.params:
            if param.name == plain and param.param_type_name == "argument":
                word = plain.replace("_", "-").upper()
                return f"'{name}' takes this without {error.option_name}: '{name} {word}'."
        return (
            f"Unknown option {shown(error.option_name)} of '{name}'{near}; allowed are "
            f"{', '.join([*options, '--help'])}."
        )
    param = getattr(error, "param", None)
    if param is not None and hasattr(error, "param_type"):
        return f"'{name}' needs {_called(param)}; '{name} --help' says what that is."
    if param is not None and (details := _details(error)):
        bounds = {name: f"{bound:,.10g}" for name, bound in details.get("ctx", {}).items()
                  if name in ("ge", "le")}  # fmt: skip
        allowed = _ALLOWED.get(details["type"], "").format(**bounds)
        reason = f"; allowed are {allowed}" if allowed else f": {details['msg']}"
        return f"{_called(param)} {shown(details['input'])} is not possible{reason}."
    words = cut(" ".join(error.format_message().split())).rstrip(".")
    return f"'{name}' cannot be called like this: {words}; '{name} --help' says what is allowed."


def _meant(near: Sequence[str]) -> str:
    return f" (did you mean {' or '.join(near)}?)" if near else ""


def _called(param: Any) -> str:
    """An option by its name, an argument as the help writes it."""
    if param.param_type_name == "option":
        return param.opts[0]
    return (param.metavar or param.name).upper()


def _details(error: Any) -> dict[str, Any] | None:
    """What pydantic, which reads the values, found wrong with one of them."""
    found = getattr(error.__cause__, "errors", list)()
    return found[0] if found else None
