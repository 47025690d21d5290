"""The computational graph: who writes to and who reads from the residual stream.

A writer is the token embedding (``input``), an attention head or an MLP. A reader is the q, k or v
input of a head, the input of an MLP, or the final residual stream (``logits``). An edge joins a
writer to a reader that comes later in the stream. Edges are entries of one boolean matrix
``[n_forward, n_backward]``: there is no object per edge.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Int

from kc_utils.circuits.arguments import whole
from kc_utils.errors import KcError

QKV = ("q", "k", "v")
LOGITS = "logits"  # the one node that writes nothing


@dataclass(frozen=True)
class Graph:
    """Nodes and possible edges of a decoder-only transformer.

    Rows are writers: ``input``, then per layer ``a<L>.h<H>`` for every head, then ``m<L>``.
    Columns are readers: per layer ``a<L>.h<H><q>`` of all heads, ``<k>`` of all, ``<v>`` of all,
    then ``m<L>``; ``logits`` is last.

    Args:
        n_layers: number of blocks.
        n_heads: number of heads in each of them, which are query heads where keys are grouped.
        parallel: whether the MLP of a block reads the same residual stream as the attention
            (GPT-NeoX, Phi). There the MLP does not read from its layer's heads.

    Raises:
        KcError: fewer than one layer or one head, or a number of them that is no integer.
    """

    n_layers: int
    n_heads: int
    parallel: bool = False

    def __post_init__(self) -> None:
        for name in ("n_layers", "n_heads"):  # NumPy's integers cannot be written into files
            object.__setattr__(self, name, whole(getattr(self, name), name, 0))
        if self.n_layers < 1 or self.n_heads < 1:
            raise KcError(
                f"A graph needs at least one layer and one head, not n_layers={self.n_layers} "
                f"and n_heads={self.n_heads}."
            )

    @property
    def n_forward(self) -> int:
        """Number of writers (rows)."""
        return 1 + self.n_layers * (self.n_heads + 1)

    @property
    def n_backward(self) -> int:
        """Number of readers (columns)."""
        return self.n_layers * (3 * self.n_heads + 1) + 1

    def heads(self, layer: int) -> slice:
        """Rows of the heads of ``layer``."""
        start = 1 + layer * (self.n_heads + 1)
        return slice(start, start + self.n_heads)

    def mlp(self, layer: int) -> int:
        """Row of the MLP of ``layer``."""
        return (layer + 1) * (self.n_heads + 1)

    def attention_columns(self, layer: int) -> slice:
        """Columns of ``layer``: q of all heads, then k, then v."""
        start = layer * (3 * self.n_heads + 1)
        return slice(start, start + 3 * self.n_heads)

    def mlp_column(self, layer: int) -> int:
        """Column of the MLP of ``layer``."""
        return self.attention_columns(layer).stop

    def before_attention(self, layer: int) -> int:
        """Number of writers that the heads of ``layer`` read from: always the first rows."""
        return self.heads(layer).start

    def before_mlp(self, layer: int) -> int:
        """Number of writers that the MLP of ``layer`` reads from: always the first rows."""
        return self.before_attention(layer) if self.parallel else self.heads(layer).stop

    @property
    def words(self) -> str:
        """What kind of graph it is, for messages."""
        kind = ", attention and MLP in parallel" if self.parallel else ""
        return f"a graph of {self.n_layers} layers and {self.n_heads} heads{kind}"

    @cached_property
    def rows(self) -> tuple[str, ...]:
        """Names of the writers."""
        names = ["input"]
        for layer in range(self.n_layers):
            names += [f"a{layer}.h{head}" for head in range(self.n_heads)] + [f"m{layer}"]
        return tuple(names)

    @cached_property
    def columns(self) -> tuple[str, ...]:
        """Names of the readers."""
        names = []
        for layer in range(self.n_layers):
            names += [f"a{layer}.h{head}<{x}>" for x in QKV for head in range(self.n_heads)]
            names.append(f"m{layer}")
        return (*names, LOGITS)

    @cached_property
    def row_layer(self) -> Int[np.ndarray, " n_forward"]:
        """Layer of each writer; ``input`` is -1."""
        per_layer = np.repeat(np.arange(self.n_layers), self.n_heads + 1)
        return _fixed(np.concatenate([[-1], per_layer]))

    @cached_property
    def column_layer(self) -> Int[np.ndarray, " n_backward"]:
        """Layer of each reader; ``logits`` is ``n_layers``."""
        per_layer = np.repeat(np.arange(self.n_layers), 3 * self.n_heads + 1)
        return _fixed(np.concatenate([per_layer, [self.n_layers]]))

    @cached_property
    def row_kind(self) -> tuple[str, ...]:
        """Kind of each writer, ``input``, ``head`` or ``mlp``."""
        return ("input", *(("head",) * self.n_heads + ("mlp",)) * self.n_layers)

    @cached_property
    def column_kind(self) -> tuple[str, ...]:
        """Kind of each reader, ``q``, ``k``, ``v``, ``mlp`` or ``logits``."""
        layer = (*(x for x in QKV for _ in range(self.n_heads)), "mlp")
        return (*layer * self.n_layers, LOGITS)

    @cached_property
    def column_row(self) -> Int[np.ndarray, " n_backward"]:
        """Row of the node that each reader belongs to; ``logits``, which writes nothing, is -1."""
        rows = []
        for layer in range(self.n_layers):
            heads = np.arange(self.heads(layer).start, self.heads(layer).stop)
            rows += [heads, heads, heads, [self.mlp(layer)]]
        return _fixed(np.concatenate([*rows, [-1]]))

    @cached_property
    def real_edges(self) -> Bool[np.ndarray, "n_forward n_backward"]:
        """True where the writer comes before the reader."""
        n_writers = []
        for layer in range(self.n_layers):
            n_writers += [self.before_attention(layer)] * (3 * self.n_heads)
            n_writers.append(self.before_mlp(layer))
        n_writers.append(self.n_forward)
        return _fixed(np.arange(self.n_forward)[:, None] < np.array(n_writers)[None, :])

    @property
    def n_edges(self) -> int:
        """Number of possible edges."""
        return int(self.real_edges.sum())

    @cached_property
    def _row_index(self) -> dict[str, int]:
        return {name: i for i, name in enumerate(self.rows)}

    @cached_property
    def _column_index(self) -> dict[str, int]:
        return {name: i for i, name in enumerate(self.columns)}

    def edge_names(self, edges: Bool[np.ndarray, "n_forward n_backward"]) -> tuple[str, ...]:
        """Names ``writer->reader`` of the edges that are True, in row order."""
        return tuple(
            f"{self.rows[u]}->{self.columns[v]}" for u, v in zip(*np.nonzero(edges), strict=True)
        )

    def edges_from_names(self, names: Iterable[str]) -> Bool[np.ndarray, "n_forward n_backward"]:
        """The boolean matrix of the edges ``names``, each ``writer->reader``.

        Raises:
            KcError: a name is not that of an edge of this graph.
        """
        edges = np.zeros((self.n_forward, self.n_backward), dtype=bool)
        for name in names:
            writer, _, reader = name.partition("->")
            u, v = self._row_index.get(writer), self._column_index.get(reader)
            if u is None or v is None or not self.real_edges[u, v]:
                raise KcError(
                    f"{name!r} is not an edge of {self.words} (edges look like 'a0.h1->m2' or "
                    "'m0->a1.h0<q>')."
                )
            edges[u, v] = True
        return edges

    def check_edges(self, edges: np.ndarray) -> None:
        """Check that ``edges`` is a boolean matrix of this graph that keeps only real edges.

        Raises:
            KcError: another shape or dtype, or an edge whose reader comes before its writer.
        """
        expected = (self.n_forward, self.n_backward)
        given = isinstance(edges, np.ndarray)
        if not given or edges.shape != expected or edges.dtype != bool:
            found = f"{edges.dtype} of shape {edges.shape}" if given else type(edges).__name__
            raise KcError(f"Edges must be a boolean matrix of shape {expected}, not {found}.")
        if impossible := self.edge_names(edges & ~self.real_edges):
            raise KcError(f"{impossible[0]!r} is not a possible edge: the reader comes first.")


def _fixed(array: np.ndarray) -> np.ndarray:
    """Make a cached array read-only."""
    array.setflags(write=False)
    return array
