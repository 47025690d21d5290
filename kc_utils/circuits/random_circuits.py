"""Random circuits: the control that a discovered circuit has to beat.

:func:`random_circuit` has the wanted number of edges and nothing else in common with a circuit. But
a circuit's edges are not spread evenly over depth: most may enter the last layers, so a random
circuit of the same size differs from it in depth, too, and may do worse for that reason alone.
:func:`random_circuit_per_layer` has as many edges into each layer as the given circuit and is
random in everything else.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Int

from kc_utils.circuits.arguments import whole
from kc_utils.circuits.circuit import Circuit, check_circuit, check_size, from_flat, prune
from kc_utils.circuits.graph import Graph

#: Stream numbers of the generators that draw these circuits.
RANDOM_CIRCUIT, RANDOM_PER_LAYER = 7301, 7302
ATTEMPTS = 20


def random_circuit(graph: Graph, n_edges: int, seed: int) -> Circuit:
    """A random circuit of ``n_edges`` edges in which, after pruning, every node is alive.

    Edges are put in random order, and the shortest beginning of that order is taken whose pruned
    part has at least ``n_edges`` edges. Edges in surplus are then removed in reverse order, each
    only if pruning leaves no fewer than ``n_edges``. If no removal gives the exact number (possible
    only for a handful of edges), the result has the nearest number that was met. The same ``seed``
    gives the same circuit.

    Raises:
        KcError: ``n_edges`` is not in 0 to ``graph.n_edges``, or ``seed`` is no integer from 0 on.
    """
    check_size(graph, n_edges, "n_edges")
    rng = np.random.default_rng([whole(seed, "seed", 0), RANDOM_CIRCUIT])
    order = rng.permutation(np.flatnonzero(graph.real_edges))

    def first(m: int) -> np.ndarray:
        return prune(graph, from_flat(graph, order[:m]))

    low, high = 0, graph.n_edges  # pruned size grows with m
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if first(middle).sum() >= n_edges else (middle + 1, high)
    edges = _remove_surplus(graph, first(low), order[:low], n_edges)
    below = first(max(low - 1, 0))
    nearest = min((edges, below), key=lambda e: abs(int(e.sum()) - n_edges))
    return Circuit(graph, nearest, n_edges)


def edges_per_layer(
    edges: Bool[np.ndarray, "n_forward n_backward"], graph: Graph
) -> Int[np.ndarray, " n_layers_and_logits"]:
    """Number of edges into the readers of each layer, and last into ``logits``."""
    return np.bincount(graph.column_layer, edges.sum(axis=0), graph.n_layers + 1).astype(int)


def random_circuit_per_layer(circuit: Circuit, seed: int) -> Circuit:
    """A random circuit with as many edges into each layer as ``circuit`` has after pruning.

    Edges are put in random order. Each layer takes the first ones that lead into it, and more of
    them as long as pruning leaves a layer with too few. Surplus edges are then removed in reverse
    order: first those that leave every node alive, then those that take a node with them, after
    which layers that became too small are filled up between nodes that are alive. If that does not
    give the wanted numbers, another order is tried, up to 20 of them.

    Guaranteed: every node is alive, so pruning changes nothing; a layer without edges in
    ``circuit`` has none; the same ``seed`` gives the same circuit. The numbers per layer are equal
    unless no attempt found a way (seen only for circuits with fewer edges than the model has
    nodes); then the sum of absolute differences is the smallest that was met.

    Raises:
        KcError: ``seed`` is no integer from 0 on.
    """
    check_circuit(circuit)
    graph = circuit.graph
    wanted = edges_per_layer(circuit.edges, graph)
    rng = np.random.default_rng([whole(seed, "seed", 0), RANDOM_PER_LAYER])
    best, distance = np.zeros_like(circuit.edges), circuit.n_edges
    for _ in range(ATTEMPTS):
        if distance == 0:
            break
        draw = _Draw(graph, wanted, rng.permutation(np.flatnonzero(graph.real_edges)))
        edges = draw.edges()
        if (found := draw.distance(edges)) < distance:
            best, distance = edges, found
    return Circuit(graph, best, circuit.n_edges)


def _remove_surplus(graph: Graph, edges: np.ndarray, order: np.ndarray, n_edges: int) -> np.ndarray:
    for edge in order[::-1]:
        if edges.sum() <= n_edges:
            break
        if edges.flat[edge]:
            fewer = edges.copy()
            fewer.flat[edge] = False
            fewer = prune(graph, fewer)
            edges = fewer if fewer.sum() >= n_edges else edges
    return edges


class _Draw:
    """One random order of the edges, and the circuit with ``wanted`` edges that it leads to."""

    def __init__(self, graph: Graph, wanted: np.ndarray, order: np.ndarray) -> None:
        self.graph, self.wanted, self.order = graph, wanted, order
        self.place = np.zeros(graph.real_edges.size, dtype=np.int64)
        self.place[order] = np.arange(len(order))

    def edges(self) -> np.ndarray:
        edges = self._thin(self._grow())
        while self.distance(better := self._improve(edges)) < self.distance(edges):
            edges = better
        return edges

    def distance(self, edges: np.ndarray) -> int:
        return int(np.abs(edges_per_layer(edges, self.graph) - self.wanted).sum())

    def _grow(self) -> np.ndarray:
        """The pruned union of every layer's first edges, with at least ``wanted`` in each."""
        graph, wanted = self.graph, self.wanted
        layer_of = graph.column_layer[self.order % graph.n_backward]
        by_layer = [self.order[layer_of == layer] for layer in range(len(wanted))]
        possible = np.array([len(candidates) for candidates in by_layer])
        taken = wanted.copy()
        while True:
            edges = np.zeros(graph.real_edges.shape, dtype=bool)
            for candidates, n in zip(by_layer, taken, strict=True):
                edges.flat[candidates[:n]] = True
            edges = prune(graph, edges)
            missing = np.maximum(wanted - edges_per_layer(edges, graph), 0)
            if not missing.any():
                return edges
            step = np.maximum(missing, taken // 8)
            more = np.minimum(taken + step * (missing > 0), possible)
            if (more == taken).all():  # what is missing leads to nodes that nothing else reads from
                more = np.minimum(taken + np.maximum(step, wanted > 0), possible)
            taken = more

    def _thin(self, edges: np.ndarray) -> np.ndarray:
        """Remove surplus edges, last in order first, that are not the only one of a node."""
        graph, edges = self.graph, edges.copy()
        surplus = edges_per_layer(edges, graph) - self.wanted
        if not (surplus > 0).any():
            return edges
        writes = edges.sum(axis=1)
        n_inputs = np.zeros(graph.n_forward + 1, dtype=int)  # the last, at -1, is of logits
        np.add.at(n_inputs, graph.column_row, edges.sum(axis=0))
        for flat in self._last_first(edges):
            u, v = divmod(int(flat), graph.n_backward)
            layer, node = graph.column_layer[v], graph.column_row[v]
            if surplus[layer] > 0 and writes[u] > 1 and (node < 0 or n_inputs[node] > 1):
                edges[u, v] = False
                surplus[layer] -= 1
                writes[u] -= 1
                n_inputs[node] -= 1
        return edges

    def _improve(self, edges: np.ndarray) -> np.ndarray:
        """Remove each edge in surplus, and what it keeps alive, where that comes nearer."""
        for flat in self._last_first(edges):
            distance = self.distance(edges)
            if distance == 0:
                break
            layer = self.graph.column_layer[flat % self.graph.n_backward]
            surplus = edges_per_layer(edges, self.graph)[layer] > self.wanted[layer]
            if not surplus or not edges.flat[flat]:
                continue
            fewer = edges.copy()
            fewer.flat[flat] = False
            changed = self._fill(self._thin(prune(self.graph, fewer)))
            edges = changed if self.distance(changed) < distance else edges
        return edges

    def _fill(self, edges: np.ndarray) -> np.ndarray:
        """Add the first edges of the order between living nodes to layers with too few."""
        graph = self.graph
        missing = self.wanted - edges_per_layer(edges, graph)
        if not (missing > 0).any():
            return edges
        alive = edges.any(axis=1)
        reader_alive = np.append(alive[graph.column_row[:-1]], True)
        columns = np.flatnonzero(reader_alive & (missing > 0)[graph.column_layer])
        rows = np.flatnonzero(alive)
        free = (graph.real_edges & ~edges)[np.ix_(rows, columns)]
        u, v = np.nonzero(free)
        candidates = rows[u] * graph.n_backward + columns[v]
        edges = edges.copy()
        for flat in candidates[np.argsort(self.place[candidates])]:
            layer = graph.column_layer[flat % graph.n_backward]
            if missing[layer] > 0:
                edges.flat[flat] = True
                missing[layer] -= 1
        return edges

    def _last_first(self, edges: np.ndarray) -> np.ndarray:
        kept = np.flatnonzero(edges)
        return kept[np.argsort(-self.place[kept])]
