"""A model folder before anything is loaded from it: which files it holds, and what they say.

A folder may come from anywhere. Here only ``config.json`` and the headers of the weights are read,
so that a shape which the weights do not have is refused before memory is asked for.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from kc_utils.errors import KcError, cut, shown, typed_path

MOST_LAYERS = 1000
MOST_BYTES = 20_000_000  # of a configuration
#: Files that transformers reads, by the end of their name.
READ = {".json", ".jinja", ".model", ".safetensors", ".txt"}
#: Counts, with the largest value that is taken for one.
COUNTS = {
    "num_hidden_layers": MOST_LAYERS, "n_layer": MOST_LAYERS,
    "num_attention_heads": 10**5, "n_head": 10**5, "num_key_value_heads": 10**5,
    "head_dim": 10**6, "hidden_size": 10**6, "n_embd": 10**6, "intermediate_size": 10**7,
    "n_inner": 10**7, "vocab_size": 10**8, "max_position_embeddings": 10**9, "n_positions": 10**9,
}  # fmt: skip
#: Counts that are the length of a side of some weight.
SIDES = ("hidden_size", "n_embd", "intermediate_size", "n_inner", "vocab_size", "n_positions")
_LAYER = re.compile(r"\.(\d+)\.")


def check_folder(path: str | Path, name: str = "model") -> dict[str, Any]:
    """``config.json`` of a folder whose files can be read and whose weights have that shape.

    Args:
        path: the folder.
        name: what the message of a missing folder calls it.

    Raises:
        KcError: no folder, no configuration or weights in it, something that is no regular file in
            the place of one, a damaged configuration, or one that the weights contradict.
    """
    folder = typed_path(path)
    if not folder.is_dir():
        raise KcError(f"There is no {name} folder {shown(str(path))}.")
    for file in sorted(folder.iterdir()):
        if file.suffix in READ and not file.is_dir() and not file.is_file():
            raise KcError(f"{shown(str(file))} is no regular file; files of a model are.")
    if not (folder / "config.json").is_file():
        raise KcError(f"The folder {shown(str(path))} has no config.json, so it holds no model.")
    weights = sorted(file for file in folder.glob("*.safetensors") if file.is_file())
    if not weights:
        others = sorted(p.name for p in folder.iterdir() if p.suffix in (".bin", ".pt", ".gguf"))
        hint = f"; it has {others[0]}, which is not read" if others else ""
        raise KcError(f"The folder {shown(str(path))} has no *.safetensors weights{hint}.")
    values = read_config(folder / "config.json")
    _check_shape(path, values, dict(_sides(path, weights)))
    return values


def read_config(file: Path) -> dict[str, Any]:
    """A configuration whose counts are whole numbers within reason.

    Raises:
        KcError: it is damaged, no JSON object, or a count is no whole number or out of range.
    """
    if file.stat().st_size > MOST_BYTES:
        raise KcError(f"{shown(str(file))} holds more than {MOST_BYTES:,} bytes; allowed are less.")
    try:
        values = json.loads(file.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise KcError(f"{shown(str(file))} is damaged: {cut(str(error))}.") from None
    if not isinstance(values, dict):
        raise KcError(f"{shown(str(file))} is damaged: it holds no JSON object.")
    for key, most in COUNTS.items():
        value = values.get(key)
        if value is None:
            continue
        if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= most:
            raise KcError(
                f"{key} = {shown(value)} in {shown(str(file))} is not allowed; it is a whole "
                f"number from 1 to {most}."
            )
    return values


def _sides(path: str | Path, weights: list[Path]) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Name and shape of every weight, from the headers of the files."""
    for file in weights:
        try:
            with safe_open(file, "np") as opened:
                for name in opened.keys():
                    yield name, tuple(opened.get_slice(name).get_shape())
        except (SafetensorError, OSError) as error:
            raise KcError(
                f"The model in {shown(str(path))} cannot be loaded: {cut(str(error))}."
            ) from None


def _check_shape(
    path: str | Path, values: dict[str, Any], weights: dict[str, tuple[int, ...]]
) -> None:
    layers = [int(found.group(1)) for name in weights if (found := _LAYER.search(name))]
    longest = max((side for shape in weights.values() for side in shape), default=0)
    for key in ("num_hidden_layers", "n_layer"):
        if layers and (values.get(key) or 0) > max(layers) + 1:
            raise KcError(
                f"{key} = {values[key]} in config.json of {shown(str(path))} does not fit its "
                f"weights, which have {max(layers) + 1} layers."
            )
    for key in SIDES:
        if (values.get(key) or 0) > longest:
            raise KcError(
                f"{key} = {values[key]} in config.json of {shown(str(path))} does not fit its "
                f"weights, whose longest side is {longest}."
            )
