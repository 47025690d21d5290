"""Checks of the shapes in the signatures of the library, in every test: jaxtyping with beartype.

A function that is defined inside of another one is defined anew by every call, and what checks it
is compiled anew: with hooks on every module of a model that took most of the time of many tests.
So such a function is checked where its signature has shapes, and otherwise left as it is.
"""

from __future__ import annotations

import ast

import jaxtyping
from jaxtyping import _import_hook as hook

#: What the annotation of an array begins with: ``Float[Tensor, "batch pos"]``.
ARRAYS = {name for name, value in vars(jaxtyping).items() if isinstance(value, type)}


def has_shapes(function: ast.FunctionDef) -> bool:
    """Whether an annotation in the signature names the shape of an array."""
    arguments = function.args
    every = (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)
    annotations = [a.annotation for a in (*every, arguments.vararg, arguments.kwarg) if a]
    return any(
        isinstance(node, ast.Subscript) and ast.unparse(node.value).rpartition(".")[2] in ARRAYS
        for annotation in (*annotations, function.returns)
        if annotation is not None
        for node in ast.walk(annotation)
    )


class Transformer(hook.JaxtypingTransformer):
    """Decorates the functions of a module with their checks."""

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        inside = any(isinstance(parent, ast.FunctionDef) for parent in self._parents)
        if not inside or has_shapes(node):
            return super().visit_FunctionDef(node)
        self._parents.append(node)
        self.generic_visit(node)
        self._parents.pop()
        return node


def install() -> None:
    """From here on, whatever is imported of the library is checked."""
    hook.JaxtypingTransformer = Transformer
    jaxtyping.install_import_hook("kc_utils", "beartype.beartype")
