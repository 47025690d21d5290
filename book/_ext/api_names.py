"""Sphinx extension: what autodoc writes about the engine is readable, short and linked.

Signatures show annotations as the source has them, so that shapes stay where they are and aliases
keep their names; paths of modules are left out. A name that is described on a page becomes a link
there, under whatever path a docstring gives it. Other names stay code, but have to exist.
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Callable
from operator import attrgetter
from pkgutil import resolve_name
from typing import Any

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.ext.autodoc import Options, PropertyDocumenter
from sphinx.pycode import ModuleAnalyzer
from sphinx.util.nodes import make_refnode

FACE = "kc_utils.circuits"  # what is imported from here needs no module in front of its name

_PATH = re.compile(r"\b[a-z_]\w*\.(?=[A-Za-z_])")  # of a module, in an annotation
_PADDED = re.compile(r"\"\s*([^\"]*?)\s*\"|'\s*([^']*?)\s*'")
_DOTTED = re.compile(r"^(?:\w+\.)+(?=\w+(?:\(\))?$)")


def short(annotation: Any) -> str:
    """An annotation without paths of modules, shapes in double quotes and without padding."""
    if annotation is None:
        return "None"
    text = annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)
    return _PADDED.sub(lambda m: f'"{m[1] or m[2] or ""}"', _PATH.sub("", text))


class _Source:
    """An annotation or a default that is written as it is."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __repr__(self) -> str:
        return self.text


def signature(
    app: Sphinx, what: str, name: str, obj: Any, options: Options, args: str | None, returns: str
) -> tuple[str, str] | None:
    """The signature of a function, method or class with the annotations of its source."""
    if what not in ("function", "method", "class") or not args:
        return None
    found = inspect.signature(obj)
    parameters = [_readable(p) for p in found.parameters.values() if p.name != "self"]
    written = str(found.replace(parameters=parameters, return_annotation=found.empty))
    result = found.return_annotation
    return written, "" if what == "class" or result is found.empty else short(result)


def _readable(parameter: inspect.Parameter) -> inspect.Parameter:
    if parameter.annotation is not parameter.empty:
        parameter = parameter.replace(annotation=_Source(short(parameter.annotation)))
    size = parameter.default
    if isinstance(size, int) and size >= 2**20 and size.bit_count() == 1:
        parameter = parameter.replace(default=_Source(f"2**{size.bit_length() - 1}"))
    return parameter


class ShapedProperty(PropertyDocumenter):
    """Describes a property with the annotation of its source as its type."""

    priority = PropertyDocumenter.priority + 1

    def add_directive_header(self, sig: str) -> None:
        """Add the type; ``autodoc_typehints`` is none, so nothing else does."""
        super().add_directive_header(sig)
        annotations = getattr(self._get_property_getter(), "__annotations__", {})
        if "return" in annotations:
            self.add_line(f"   :type: {short(annotations['return'])}", self.get_sourcename())


def comment_of(
    app: Sphinx, what: str, name: str, obj: Any, options: Options, lines: list[str]
) -> None:
    """Describe a constant by the comment in the module that it was imported from."""
    if what != "data":
        return
    package, _, own = name.rpartition(".")
    for module in [m for m in sorted(sys.modules) if f"{m}.".startswith(f"{package}.")]:
        if vars(sys.modules[module]).get(own) is obj:
            comments = ModuleAnalyzer.for_module(module).find_attr_docs()
            if ("", own) in comments:
                lines[:] = comments["", own]
                return


def shorten(app: Sphinx, tree: nodes.document) -> None:
    """References without the path of a module, names of arguments as code, quotes of one kind."""
    for link in tree.findall(addnodes.pending_xref):
        named = link.get("refdomain") == "py" and not link.get("refexplicit")
        if named and link["reftype"] != "mod":
            for text in list(link.findall(nodes.Text)):
                text.parent.replace(text, nodes.Text(_DOTTED.sub("", text)))
    for described in tree.findall(addnodes.desc):
        for name in list(described.findall(addnodes.literal_strong)):
            name.replace_self(nodes.literal("", name.astext()))
    for head in tree.findall(addnodes.desc_signature):
        for text in list(head.findall(nodes.Text)):
            text.parent.replace(text, nodes.Text(text.replace("'", '"')))
        if (module := head.get("module")) not in (None, FACE) and not head.get("class"):
            name = next(head.findall(addnodes.desc_name))
            prefix = f"{module.removeprefix(f'{FACE}.')}."
            name.parent.insert(name.parent.index(name), addnodes.desc_addname(prefix, prefix))


def resolve(
    app: Sphinx, env: BuildEnvironment, node: addnodes.pending_xref, content: nodes.Node
) -> nodes.Node | None:
    """Link a name that Sphinx does not find to its description under another path, if any.

    A name that is described nowhere stays code. None, which is a warning, if it does not exist.
    """
    if node.get("refdomain") != "py":
        return None
    target = str(node["reftarget"])
    last = target.rpartition(".")[2]
    in_signature = _inside_signature(node)
    kinds = {"class", "exception", "data"} if in_signature else {"class", "data", "function"}
    objects = env.get_domain("py").data["objects"]
    found = {
        (entry.docname, entry.node_id): name
        for name, entry in objects.items()
        if name.rpartition(".")[2] == last and entry.objtype in kinds and not entry.aliased
    }
    if len(found) == 1 and (in_signature or exists(target)):
        ((docname, anchor), name), *_ = found.items()
        return make_refnode(app.builder, node["refdoc"], docname, anchor, [content], name)
    return content if in_signature or exists(target) else None


def _inside_signature(node: nodes.Node | None) -> bool:
    while node is not None and not isinstance(node, addnodes.desc_signature):
        node = node.parent
    return node is not None


def exists(target: str) -> bool:
    """Whether ``target`` can be imported, or is a name in a module of the library."""
    modules = [m for name, m in sys.modules.items() if name.startswith("kc_utils.")]
    return _reached(resolve_name, target) or any(_reached(attrgetter(target), m) for m in modules)


def _reached(look: Callable[[Any], Any], start: Any) -> bool:
    try:
        look(start)
    except (AttributeError, ImportError, ValueError):
        return False
    return True


def setup(app: Sphinx) -> dict[str, Any]:
    """Take part in autodoc and in the resolution of references."""
    app.setup_extension("sphinx.ext.autodoc")
    app.add_autodocumenter(ShapedProperty, override=True)
    app.connect("autodoc-process-signature", signature)
    app.connect("autodoc-process-docstring", comment_of, priority=400)  # before napoleon reads it
    app.connect("doctree-read", shorten)
    app.connect("missing-reference", resolve)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
