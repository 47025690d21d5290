"""Wrong shapes are refused wherever a signature names them, in functions inside of others too."""

from __future__ import annotations

import ast

import pytest
import torch
from jaxtyping import TypeCheckError
from jaxtyping._import_hook import Typechecker
from shape_checks import Transformer

from kc_utils.circuits.metrics import logit_diff

SOURCE = """
import torch
from jaxtyping import Float
from torch import Tensor

def outer(x):
    def shaped(x: Float[Tensor, 'a a']) -> Tensor:
        return x
    def returning(x: Tensor) -> Float[Tensor, 'a a'] | None:
        return x
    def plain(x: Tensor) -> Tensor:
        return x
    class Local:
        def method(self, x: Float[Tensor, 'a a']) -> Tensor:
            return x
    return shaped, returning, plain, Local().method
"""


def checked() -> tuple:
    tree = Transformer(typechecker=Typechecker("beartype.beartype")).visit(ast.parse(SOURCE))
    names: dict = {}
    exec(compile(ast.fix_missing_locations(tree), "source", "exec"), names)
    return names["outer"](0)


def test_functions_inside_of_others_are_checked_where_they_name_shapes() -> None:
    shaped, returning, plain, method = checked()
    square, oblong = torch.zeros(2, 2), torch.zeros(2, 3)
    for function in (shaped, returning, method):
        assert function(square) is square
        with pytest.raises(TypeCheckError):
            function(oblong)
    assert plain(oblong) is oblong and not hasattr(plain, "__wrapped__")


def test_a_wrong_shape_is_refused_by_the_library() -> None:
    with pytest.raises(TypeCheckError):
        logit_diff(torch.zeros(2, 3), torch.tensor([0, 1]), torch.tensor([0, 1, 2]))
