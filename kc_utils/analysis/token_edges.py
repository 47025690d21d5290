"""The strongest edges of one prompt at single tokens, and what attention carries between tokens."""

from __future__ import annotations

import networkx as nx
import numpy as np
import pandas as pd
from jaxtyping import Float, Int
from torch import Tensor
from transformer_lens.model_bridge import TransformerBridge

from kc_utils.analysis.attention import attention_patterns
from kc_utils.circuits.graph import QKV, Graph
from kc_utils.errors import KcError

_START, _END = ("start", -1), ("end", -1)
_LOOKED_AT = ("k", "v")  # inputs of a head that are read at the token that it attends to


def strongest_token_edges(
    scores: Float[Tensor, "pos n_forward n_backward"], graph: Graph, most: int = 40
) -> pd.DataFrame:
    """The ``most`` largest |score| of one prompt, without those on no path from input to logits.

    If none is on a path, twice as many are taken, and so on.

    ``scores``: of one pair, as :func:`kc_utils.circuits.by_position.attribute_by_token` gives them.
    An edge into a head's key or value at token t goes on wherever that head writes at t or later;
    all other edges stay at their token.

    Returns:
        position, source, target (names of writer and reader), score, share (of the sum of |score|
        over all edges and positions), the strongest first.

    Raises:
        KcError: ``most`` is below 1.
    """
    if most < 1:
        raise KcError(f"most={most!r} is not at least 1.")
    values = scores.double().cpu().numpy()
    sizes = np.abs(values).ravel()
    order = np.argsort(-sizes, kind="stable")[: np.count_nonzero(sizes)]
    position, row, column = np.unravel_index(order, values.shape)
    edges = pd.DataFrame(
        {
            "position": position,
            "source": np.array(graph.rows)[row],
            "target": np.array(graph.columns)[column],
            "score": values[position, row, column],
            "share": sizes[order] / (sizes.sum() or 1.0),
        }
    )
    kept = edges.head(most)[_on_a_path(edges.head(most))]
    while kept.empty and most < len(edges):
        most *= 2
        kept = edges.head(most)[_on_a_path(edges.head(most))]
    return kept.reset_index(drop=True)


def _on_a_path(edges: pd.DataFrame) -> list[bool]:
    net = nx.DiGraph()
    net.add_nodes_from([_START, _END])
    ends = []
    for edge in edges.itertuples():
        head, port = _port(edge.target)
        write = (edge.source, edge.position)
        read = (head, edge.position, "looked at") if port in _LOOKED_AT else (head, edge.position)
        net.add_edge(write, read)
        if edge.source == "input":
            net.add_edge(_START, write)
        if edge.target == "logits":
            net.add_edge(read, _END)
        ends.append((write, read))
    for head, position, *looked_at in list(net):
        if looked_at:
            later = [n for n in net if n[0] == head and len(n) == 2 and n[1] >= position]
            net.add_edges_from(((head, position, *looked_at), node) for node in later)
    fed = nx.descendants(net, _START)
    used = nx.ancestors(net, _END)
    return [write in fed and read in used for write, read in ends]


def attention_links(
    bridge: TransformerBridge, ids: Int[Tensor, " pos"], edges: pd.DataFrame
) -> pd.DataFrame:
    """Attention of the heads among ``edges``, from where they write to where they are read for.

    ``edges`` as of :func:`strongest_token_edges`, ``ids`` the clean prompt.

    Returns:
        node (head), source (position whose key or value it reads), destination (later position
        where it writes), share (of the destination's attention).
    """
    places = []
    for head in dict.fromkeys(name for name in edges["source"] if name.startswith("a")):
        writes = sorted(set(edges.loc[edges["source"] == head, "position"]))
        into = edges["target"].isin([f"{head}<{port}>" for port in _LOOKED_AT])
        reads = sorted(set(edges.loc[into, "position"]))
        places += [(head, s, d) for s in reads for d in writes if s < d]
    table = pd.DataFrame(places, columns=["node", "source", "destination"])
    heads = list(dict.fromkeys(table["node"]))
    if not heads:
        return table.assign(share=pd.Series(dtype=float))
    numbers = [tuple(map(int, head[1:].split(".h"))) for head in heads]
    patterns = attention_patterns(bridge, ids, numbers).numpy()
    share = [patterns[heads.index(head), d, s] for head, s, d in places]
    return table.assign(share=np.array(share, dtype=float))


def _port(reader: str) -> tuple[str, str]:
    """The node of a reader, and which input of a head it is (empty for others)."""
    node, _, port = reader.partition("<")
    port = port.removesuffix(">")
    return node, port if port in QKV else ""
