"""Models with a circuit put in by hand, one per mechanism: the ground truth of the benchmark.

An edge belongs to the known circuit if what it carries differs between the two prompts of a pair
and is read. Where a head only looks at a position, its queries and keys are the same in both
prompts, and these edges are not part of it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from transformers import GPT2LMHeadModel

from kc_utils.benchmark.wiring import Wiring
from kc_utils.circuits.pair_batch import PairBatch
from kc_utils.errors import KcError

N_SYMBOLS = 10
BLANK = N_SYMBOLS  # a token that writes nothing
VOCAB = N_SYMBOLS + 2
_FIRST_HOP = tuple((3 * i + 1) % N_SYMBOLS for i in range(N_SYMBOLS))
_SECOND_HOP = tuple((7 * i + 4) % N_SYMBOLS for i in range(N_SYMBOLS))


@dataclass(frozen=True)
class KnownCircuit:
    """A mechanism, its model and pairs, and the edges that carry it.

    ``model(noise, seed)`` adds random weights of that level to every head and MLP; ``pairs(n,
    seed)`` draws n pairs. Both are the same for the same arguments.
    """

    name: str
    mechanism: str
    edges: tuple[str, ...]
    wire: Callable[[], Wiring]
    pairs: Callable[[int, int], PairBatch]

    def model(self, noise: float = 0.0, seed: int = 0) -> GPT2LMHeadModel:
        """The wired model in float64, with random weights of level ``noise`` everywhere else."""
        if not 0 <= noise <= 1:
            raise KcError(f"noise={noise} is not a level between 0 and 1.")
        wiring = self.wire()
        wiring.noise(noise, seed)
        return wiring.model


def _copying() -> Wiring:
    """Induction: a head notes the token before, a later one finds it and copies what followed."""
    lanes = {"token": N_SYMBOLS, "position": 5, "before": N_SYMBOLS, "answer": N_SYMBOLS}
    wiring = Wiring(lanes, VOCAB)
    wiring.tokens("token")
    wiring.positions("position")
    wiring.match(0, 1, "position", "position", [(i, i - 1) for i in range(1, 5)])
    wiring.move(0, 1, "token", "before")
    wiring.match(1, 2, "token", "before", [(i, i) for i in range(N_SYMBOLS)])
    wiring.move(1, 2, "token", "answer")
    wiring.answers("answer")
    return wiring


def _copying_pairs(n: int, seed: int) -> PairBatch:
    rng = np.random.default_rng([seed, 1])
    clean, other = [], []
    for _ in range(n):
        a, b, c, d, e = rng.permutation(N_SYMBOLS)[:5].tolist()
        clean.append([BLANK, a, b, c, a])
        other.append([BLANK, d, e, c, d])
    return PairBatch.from_lists(clean, other, [p[2] for p in clean], [p[2] for p in other])


def _moved(lanes: dict[str, int]) -> Wiring:
    """Tokens and positions, of which position 1 holds the subject and 2 is the last."""
    wiring = Wiring({"token": N_SYMBOLS, "position": 3} | lanes, VOCAB)
    wiring.tokens("token")
    wiring.positions("position")
    wiring.answers("answer")
    return wiring


def _two_hops() -> Wiring:
    """Subject to the last token, one lookup in each MLP."""
    wiring = _moved({"subject": N_SYMBOLS, "bridge": N_SYMBOLS, "answer": N_SYMBOLS})
    wiring.look_at(0, 1, "position", 1)
    wiring.move(0, 1, "token", "subject")
    wiring.look_up(0, ["subject"], "bridge", _FIRST_HOP, saturates=False)
    wiring.look_up(1, ["bridge"], "answer", _SECOND_HOP, saturates=False)
    return wiring


def _suppression() -> Wiring:
    """A head copies the subject, a later head takes half of what was copied away again."""
    wiring = _moved({"answer": N_SYMBOLS})
    wiring.look_at(0, 1, "position", 1)
    wiring.move(0, 1, "token", "answer")
    wiring.look_at(1, 3, "position", 2)
    wiring.move(1, 3, "answer", "answer", gain=-0.5)
    return wiring


def _backup() -> Wiring:
    """Two heads bring the same, and either is enough for the MLP."""
    wiring = _moved({"one": N_SYMBOLS, "two": N_SYMBOLS, "answer": N_SYMBOLS})
    for head, lane in ((1, "one"), (2, "two")):
        wiring.look_at(0, head, "position", 1)
        wiring.move(0, head, "token", lane)
    wiring.look_up(0, ["one", "two"], "answer", range(N_SYMBOLS), saturates=True)
    return wiring


def _subject_pairs(answer: Callable[[int], int]) -> Callable[[int, int], PairBatch]:
    """Pairs that differ in the subject, the middle one of three tokens."""

    def pairs(n: int, seed: int) -> PairBatch:
        rng = np.random.default_rng([seed, 2])
        drawn = [rng.permutation(N_SYMBOLS)[:2].tolist() for _ in range(n)]
        clean, other = ([[BLANK, pair[i], BLANK] for pair in drawn] for i in (0, 1))
        right, wrong = ([answer(pair[i]) for pair in drawn] for i in (0, 1))
        return PairBatch.from_lists(clean, other, right, wrong)

    return pairs


def _blank_pairs(n: int, seed: int) -> PairBatch:
    """Pairs whose corrupted prompt has a blank instead of the subject."""
    rng = np.random.default_rng([seed, 3])
    drawn = [rng.permutation(N_SYMBOLS)[:2].tolist() for _ in range(n)]
    clean = [[BLANK, subject, BLANK] for subject, _ in drawn]
    return PairBatch.from_lists(
        clean, [[BLANK] * 3] * n, [right for right, _ in drawn], [wrong for _, wrong in drawn]
    )


KNOWN_CIRCUITS = {
    case.name: case
    for case in (
        KnownCircuit(
            "copying",
            "an induction head finds the token that stood before and copies what followed it",
            ("input->a0.h1<v>", "a0.h1->a1.h2<k>", "input->a1.h2<q>", "input->a1.h2<v>",
             "a1.h2->logits"),
            _copying, _copying_pairs,
        ),
        KnownCircuit(
            "two hops",
            "a head brings the subject, and two MLPs each look something up",
            ("input->a0.h1<v>", "a0.h1->m0", "m0->m1", "m1->logits"),
            _two_hops, _subject_pairs(lambda i: _SECOND_HOP[_FIRST_HOP[i]]),
        ),
        KnownCircuit(
            "suppression",
            "a later head takes away half of what an earlier one copied",
            ("input->a0.h1<v>", "a0.h1->logits", "a0.h1->a1.h3<v>", "a1.h3->logits"),
            _suppression, _subject_pairs(lambda i: i),
        ),
        KnownCircuit(
            "backup",
            "two heads bring the same thing to an MLP that needs only one of them",
            ("input->a0.h1<v>", "input->a0.h2<v>", "a0.h1->m0", "a0.h2->m0", "m0->logits"),
            _backup, _blank_pairs,
        ),
    )
}  # fmt: skip


def known_circuit(name: str) -> KnownCircuit:
    """The known circuit called ``name``; KcError for another name."""
    if name not in KNOWN_CIRCUITS:
        allowed = ", ".join(KNOWN_CIRCUITS)
        raise KcError(f"{name!r} is not a known circuit; allowed are {allowed}.")
    return KNOWN_CIRCUITS[name]
