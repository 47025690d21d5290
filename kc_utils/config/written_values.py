"""Values as they are typed behind ``--set key=``: YAML, with numbers that mean what they look like.

In YAML 010 is eight, 1:30 is ninety and 2020-01-01 a date. Here numbers are decimal, and what looks
like a number of another kind is refused where a number is wanted. Where a text is wanted, every
word is one: a folder may be called 010.
"""

from __future__ import annotations

import re
from typing import Any, ClassVar, get_args

import yaml

from kc_utils.errors import KcError, shown

#: What PyYAML and the constructors that it calls raise on texts that are no values.
_NO_VALUE = (yaml.YAMLError, ValueError, LookupError, AttributeError, TypeError, RecursionError)
_INT, _FLOAT, _TIME = (f"tag:yaml.org,2002:{name}" for name in ("int", "float", "timestamp"))
_WHOLE = re.compile(r"[-+]?(0|[1-9][0-9]*)$")
_DECIMAL = re.compile(
    r"[-+]?(((0|[1-9][0-9]*)(\.[0-9]*)?|\.[0-9]+)(e[-+]?[0-9]+)?|\.inf|\.nan)$", re.IGNORECASE
)
#: Numbers with leading zeros, of another base, with underscores, colons or foreign digits.
_OTHER = re.compile(r"[-+]?(\d[\d_:]*(\.[\d_]*)?(e[-+]?\d+)?|0[xob][0-9a-f_]+)", re.IGNORECASE)


class _Decimal(yaml.SafeLoader):
    """YAML's own kinds of numbers and its dates stay texts."""

    yaml_implicit_resolvers: ClassVar = {
        first: [(tag, form) for tag, form in forms if tag not in (_INT, _FLOAT, _TIME)]
        for first, forms in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


for _tag, _form in ((_INT, _WHOLE), (_FLOAT, _DECIMAL)):
    _Decimal.add_implicit_resolver(_tag, _form, list("+-.0123456789"))


def read_value(key: str, text: str, annotation: Any) -> Any:
    """The value that ``text`` stands for: ``5``, ``1e-4``, ``true``, ``null``, ``[city, major]``.

    A text that is no value is left to the validation, but half a list is never meant as a text.

    Args:
        key: the setting, for messages.
        text: what was typed.
        annotation: the type of the setting.

    Raises:
        KcError: a list that does not end, a number that is not written in plain decimal digits, or
            true or false for a number.
    """
    try:
        value = yaml.load(text, Loader=_Decimal)  # a safe loader
    except _NO_VALUE:
        if text.lstrip().startswith("["):
            raise KcError(
                f"--set {shown(key)} = {shown(text)} is no list; a list is written [first, second]."
            ) from None
        return text
    kinds = _kinds(annotation)
    if str in kinds and not kinds & {tuple, int, float}:
        return value if value is None or isinstance(value, str) else text.strip()
    if kinds & {int, float}:
        _refuse_odd_numbers(key, value)
    return value


def _kinds(annotation: Any) -> set[Any]:
    """The plain types that an annotation is made of; text for literals."""
    parts = get_args(annotation)
    if not parts:
        return {annotation if isinstance(annotation, type) else type(annotation)}
    outer = {tuple} if getattr(annotation, "__origin__", None) is tuple else set()
    return outer.union(*(_kinds(part) for part in parts if part is not Ellipsis))


def _refuse_odd_numbers(key: str, value: Any) -> None:
    for item in value if isinstance(value, list) else [value]:
        if isinstance(item, bool):
            why = "a number is needed, not true or false"
        elif isinstance(item, str) and _OTHER.fullmatch(item) and not _DECIMAL.match(item):
            why = (
                "numbers are written in decimal digits, without leading zeros, underscores or "
                "colons, like 10 or 1e-4"
            )
        else:
            continue
        raise KcError(f"--set {shown(key)} = {shown(item)} is not possible: {why}.")
