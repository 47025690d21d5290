"""Accuracy, entropy and circuit on one slider: the frames are the tables, mistakes are named."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from drawings import (
    circuit_table,
    curves_table,
    edges_of,
    figure,
    frames,
    is_line_through,
    names,
    svgs,
)

from kc_utils.errors import KcError
from kc_utils.plots import circuit_drawing_epochs, circuit_over_training


def test_rings_move_along_the_table_and_cursors_with_them() -> None:
    table, moves = curves_table(), frames(figure("training"))["moves"]
    assert len(moves) == 4  # a cursor and a ring in each of two panels
    for at, column in enumerate(["accuracy", "entropy"]):
        cursor, (x, y) = moves[2 * at], moves[2 * at + 1]
        assert is_line_through(table["epoch"].to_numpy(float), np.array(x))
        assert is_line_through(table[column].to_numpy(), np.array(y))
        assert cursor == [x, [0] * len(table)]


def test_every_epoch_has_its_sentence() -> None:
    edges = circuit_table(60)
    few = edges[(edges["epoch"] != 3) | (edges.groupby("epoch").cumcount() < 1)]
    told = frames(circuit_over_training(curves_table(), few, 6, 4))["told"]
    for row, words in zip(curves_table().to_dict("records"), told, strict=True):
        count = "1 edge." if row["epoch"] == 3 else "60 edges."
        assert words == (
            f"Epoch {row['epoch']:g}: first-token accuracy {row['accuracy']:.2f}, circuit entropy "
            f"{row['entropy']:.2f} nats, {count}"
        )


def test_the_circuits_are_those_of_the_drawing_with_a_slider() -> None:
    table = circuit_table(60)
    alone, (svg,) = circuit_drawing_epochs(table, 6, 4, strongest=20), svgs(figure("training"))
    found = []
    for drawing in (alone, figure("training")):
        (panel,) = svgs(drawing)
        edges = [names(e) for e in edges_of(panel, everything=True)][::-1]
        circuits = frames(drawing)["circuit"]
        found.append([[(edges[i], score) for i, score in circuit] for circuit in circuits])
    assert found[0] == found[1]
    assert [names(e) for e in edges_of(svg)] == [names(e) for e in edges_of(svgs(alone)[0])]


def test_a_checkpoint_without_edges_is_an_empty_circuit() -> None:
    table, gone = circuit_table(60), [0, 7, 20]
    found = frames(circuit_over_training(curves_table(), table[~table["epoch"].isin(gone)], 6, 4))
    assert [i for i, edges in enumerate(found["circuit"]) if not edges] == gone
    assert all(found["told"][epoch].endswith(" nats, 0 edges.") for epoch in gone)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda c, e: (c.drop(columns="accuracy"), e), r"lacks the column\(s\) accuracy"),
        (lambda c, e: (c.iloc[:1], e), "needs two epochs or more; the curves have 1"),
        (lambda c, e: (pd.concat([c, c]), e), "repeated rows"),
        (lambda c, e: (c.assign(entropy=np.nan), e), "The entropy of .* has a gap"),
        (lambda c, e: (c.assign(kind=["K_rel", "K_compl"] * 10 + ["K_rel"]), e), "choose one"),
        (lambda c, e: (c.assign(kind="K_real"), e), r"\['K_real'\]; allowed are"),
        (lambda c, e: (c.query("epoch < 20"), e), "have epoch 20; the curves have 0, 1,"),
        (lambda c, e: (c, e.iloc[:0]), "is empty"),
        (lambda c, e: (c, e.iloc[:1].assign(source="a9.h0")), "outside of 6 layers"),
    ],
)
def test_impossible_requests_are_refused_in_one_sentence(change: Callable, words: str) -> None:
    curves, edges = change(curves_table(), circuit_table(60))
    with pytest.raises(KcError, match=words):
        circuit_over_training(curves, edges, 6, 4)
