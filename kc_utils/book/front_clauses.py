"""The claims that the front page answers: a clause for each verdict, and what the paper says."""

from __future__ import annotations

from dataclasses import dataclass

from kc_utils.study.claims.verdicts import HOLDS, NO_EFFECT, NOT_MEASURED, OPEN, OPPOSITE, SMALLER


@dataclass(frozen=True)
class Answer:
    """A claim of the ledger as part of the book's answer: a clause for each verdict.

    ``common`` is what models say together of which some find it clearly and some perhaps by too
    little. ``number`` says what the difference of effect and control is a number of, ``published``
    what the paper reports.
    """

    id: str
    question: str
    common: str
    holds: str
    smaller: str
    none: str
    opposite: str
    number: str
    published: str

    def clause(self, verdict: str) -> str:
        """What was found, without the full stop."""
        said = {HOLDS: self.holds, SMALLER: self.smaller, NO_EFFECT: self.none,
                OPPOSITE: self.opposite, OPEN: f"it is open whether {self.question}",
                NOT_MEASURED: f"it could not be measured whether {self.question}"}  # fmt: skip
        return said[verdict]


_REPLAY = "with a little replay (a block of old text for every ten of new)"

ANSWERS = (
    Answer(
        "faithful",
        "circuits restore more of the model's answer than random circuits of the same size",
        "a circuit restores more of the model's answer than a random circuit of the same size, "
        "even about people it was not found on",
        "a circuit restores far more of the model's answer than a random circuit of the same size, "
        "even about people it was not found on",
        "about people it was not found on, a circuit restores more of the model's answer than a "
        "random circuit of the same size, though perhaps by too little to matter",
        "about people it was not found on, a circuit restores no more of the model's answer than a "
        "random circuit of the same size",
        "about people it was not found on, a circuit restores less of the model's answer than a "
        "random circuit of the same size",
        "share of the logit difference restored by the smallest circuits that restore 0.85 on "
        "their own people, minus a random circuit's",
        "0.85 to 0.95 restored, with no random circuits to compare",
    ),
    Answer(
        "relevant-progress",
        "new facts about people whom the model already knew are learned sooner than new facts "
        "about strangers",
        "new facts about people whom the model already knew are learned sooner than new facts "
        "about strangers",
        "new facts about people whom the model already knew are learned sooner than new facts "
        "about strangers",
        "new facts about people whom the model already knew are learned sooner, though perhaps by "
        "too little to matter",
        "new facts about people whom the model already knew are learned no sooner than new facts "
        "about strangers",
        "new facts about strangers are learned sooner than new facts about people whom the model "
        "already knew",
        "lead in first-token accuracy",
        "a lead of 0.22 in GPT-2",
    ),
    Answer(
        "knee-entropy",
        "circuits form fast and are then refined slowly, with a clear bend between the two",
        "circuits form fast and are then refined slowly, with a bend between the two",
        "circuits form fast and are then refined slowly, with a clear bend between the two",
        "a bend between fast formation and slow refinement is commoner than in the controls, "
        "though perhaps by too little to matter",
        "circuits have a bend between fast formation and slow refinement no more often than their "
        "controls do",
        "circuits have a bend between fast formation and slow refinement more rarely than their "
        "controls do",
        "share of circuits whose entropy has this bend, minus the control's",
        "such a bend in every curve",
    ),
    Answer(
        "deep-first",
        "circuits move to deeper layers while they form",
        "while circuits form, they move to deeper layers",
        "while circuits form, they move to deeper layers",
        "while circuits form, they move to deeper layers, though perhaps by too little to matter",
        "while circuits form, they do not move to deeper layers",
        "while circuits form, they move to shallower layers, not to deeper ones",
        "shift during formation, as a share of the depth",
        "deep layers come first",
    ),
    Answer(
        "shallow-later",
        "circuits move to shallower layers once they have formed",
        "circuits that have formed move to shallower layers",
        "circuits that have formed move to shallower layers",
        "circuits that have formed move to shallower layers, though perhaps by too little to "
        "matter",
        "circuits that have formed do not move to shallower layers",
        "circuits that have formed move to deeper layers, not to shallower ones",
        "shift after the bend, as a share of the depth",
        "shallow layers come later",
    ),
    Answer(
        "circuit-returns",
        f"circuits recover from training on other people {_REPLAY}",
        f"circuits recover from training on other people {_REPLAY}",
        f"circuits recover from training on other people {_REPLAY}",
        f"circuits recover from training on other people {_REPLAY}, though perhaps by too little "
        "to matter",
        "within the steps followed, circuits do not recover from training on other people, even "
        "with a little replay",
        "circuits go on drifting away under training on other people, even with a little replay",
        "edge overlap regained, minus the drift of further training",
        "circuits are called elastic; their entropy comes back, no return of edges is shown",
    ),
)
