"""Settings that make a run of profile smoke as small as a run can be."""

from __future__ import annotations

SETTINGS = (
    "circuit.tasks=[city]", "circuit.bands=[medium]", "circuit.n_pairs=2", "circuit.top_n=8",
    "circuit.random_circuits=1", "circuit.steps=1", "training.epochs=2", "world.n_people=80",
    "training.validation_people=8", "analysis.bootstrap=10", "base.n_known=40",
    "base.texts_per_person=1",
)  # fmt: skip
