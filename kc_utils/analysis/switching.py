"""A circuit with some of its heads and MLPs switched off: every combination, computed beforehand.

A reader of a page has no model. With all 2^k combinations of k parts in a table, a reader can still
switch parts off and see what the circuit would answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from transformer_lens.model_bridge import TransformerBridge

from kc_utils.circuits.ablation import references
from kc_utils.circuits.circuit import Circuit
from kc_utils.circuits.circuit_run import run_circuit
from kc_utils.circuits.pair_batch import PairBatch
from kc_utils.errors import KcError

MOST_PARTS = 10  # 1,024 runs of one prompt


@dataclass(frozen=True)
class Switched:
    """Probabilities of a few answers in every combination of switched-off parts.

    ``parts``: names of writers. Row c of ``probabilities`` [2^k, n_tokens] is the circuit without
    the parts whose bit is set in c (part i has bit i). ``clean`` and ``corrupted`` [n_tokens] are
    the whole model on the two prompts. ``tokens`` are ids, the right answer first.
    """

    parts: tuple[str, ...]
    tokens: Int[np.ndarray, " n_tokens"]
    probabilities: Float[np.ndarray, "n_states n_tokens"]
    clean: Float[np.ndarray, " n_tokens"]
    corrupted: Float[np.ndarray, " n_tokens"]


def largest_parts(
    circuit: Circuit, scores: Float[np.ndarray, "n_forward n_backward"], k: int
) -> tuple[str, ...]:
    """The ``k`` heads and MLPs of a circuit with most score on their kept edges, in model order.

    The score of a part is the sum of |score| over the kept edges that leave it.
    """
    graph = circuit.graph
    sent = np.where(circuit.edges, np.abs(scores), 0.0).sum(axis=1)
    sent[graph.row_layer < 0] = 0.0  # without its input a circuit is nothing
    order = np.argsort(-sent, kind="stable")[: min(k, np.count_nonzero(sent))]
    return tuple(graph.rows[row] for row in sorted(order))


def switch_off(
    bridge: TransformerBridge,
    pair: PairBatch,
    circuit: Circuit,
    parts: Sequence[str],
    n_tokens: int = 6,
    ablation: str = "corrupted",
) -> Switched:
    """Run the circuit of one prompt in every combination of ``parts`` switched off.

    A part that is off sends nothing of its own: its edges carry what every edge outside of the
    circuit carries under ``ablation``.

    Args:
        bridge: the model.
        pair: one clean and corrupted prompt.
        circuit: what is run.
        parts: at most ten writers of the circuit, by name.
        n_tokens: how many answers are kept: the right one, the corrupted prompt's, and those that
            are most probable in some combination.
        ablation: what flows outside the circuit.

    Raises:
        KcError: there is more than one pair, a part is not in the circuit, or there are too many.
    """
    rows = {name: row for row, name in enumerate(circuit.graph.rows)}
    if len(pair) != 1:
        raise KcError(f"Parts are switched off on one pair of prompts, not on {len(pair)}.")
    if not 1 <= len(parts) <= MOST_PARTS:
        raise KcError(f"{len(parts)} parts were given; allowed are 1 to {MOST_PARTS}.")
    if missing := [name for name in parts if name not in circuit.nodes]:
        raise KcError(f"{missing[0]!r} is not a writer of the circuit.")
    refs = references(bridge, pair)
    states = []
    for state in range(2 ** len(parts)):
        edges = circuit.edges.copy()
        edges[[rows[name] for i, name in enumerate(parts) if state >> i & 1]] = False
        states.append(run_circuit(bridge, pair, edges, ablation, refs=refs)[0, -1])
    found = torch.stack(states).float().softmax(-1).cpu().numpy()
    clean, corrupted = (
        logits[0, -1].float().softmax(-1).cpu().numpy()
        for logits in (refs.clean_logits, refs.corrupted_logits)
    )
    named = [int(pair.right_ids[0]), int(pair.wrong_ids[0])]
    others = [int(t) for t in np.argsort(-found.max(axis=0), kind="stable") if t not in named]
    tokens = np.array([*named, *others[: max(0, n_tokens - 2)]])
    return Switched(tuple(parts), tokens, found[:, tokens], clean[tokens], corrupted[tokens])
