"""Options that were typed but would change nothing: refused, because somebody expects an effect."""

from __future__ import annotations

from typer import Context

from kc_utils.errors import KcError


def refuse_idle(context: Context, where: str, *names: str) -> None:
    """Refuse the first of these parameters that was typed, with its default value or another.

    Args:
        context: of the command.
        where: the circumstances, for example "without --model".
        names: parameters of the command's function.

    Raises:
        KcError: naming the option as it was typed most probably.
    """
    for name in names:
        source = context.get_parameter_source(name)
        if source is not None and source.name != "DEFAULT":
            option = next(p.opts[0] for p in context.command.params if p.name == name)
            raise KcError(f"{option} has no effect {where}; leave it out.")
