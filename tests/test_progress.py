"""Leads at equal progress, beside the published curves."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kc_utils.analysis.stats.progress import lead_at_progress
from kc_utils.errors import KcError
from kc_utils.plots.performance import published

EPOCHS = np.arange(6.0)
BEHIND = np.array([0.0, 0.1, 0.2, 0.4, 0.6, 0.8])
AHEAD = np.array([0.0, 0.2, 0.4, 0.6, 0.7, 0.8])


def paper(model):
    """Epochs, K_rel and K_compl of a published model."""
    table = published().query("model == @model").pivot(index="epoch", columns="kind")["accuracy"]
    return table.index.to_numpy(), table["K_rel"].to_numpy(), table["K_compl"].to_numpy()


def largest_lead(model):
    """At any checkpoint of a published model; the docstring of the module quotes it."""
    _, ahead, behind = paper(model)
    return (ahead - behind).max()


@pytest.mark.parametrize(
    ("model", "matched", "largest"),
    [("gpt2", 0.22, 0.22), ("gpt2-medium", 0.22, 0.23), ("phi-1.5", 0.23, 0.24)],
)
def test_published_leads(model, matched, largest):
    assert round(lead_at_progress(*paper(model)).lead, 2) == matched
    assert round(largest_lead(model), 2) == largest


def test_a_model_that_starts_above_the_level_has_no_lead_there():
    found = lead_at_progress(*paper("tinyllama-1.1b"))
    assert math.isnan(found.lead) and math.isnan(found.epoch)
    assert found.reason == "above 0.3 from the start, at 0.368"
    assert round(largest_lead("tinyllama-1.1b"), 2) == 0.15


def test_between_checkpoints_both_curves_are_straight():
    found = lead_at_progress(EPOCHS, AHEAD, BEHIND)
    assert (found.epoch, found.lead) == pytest.approx((2.5, 0.5 - 0.3))
    assert not found.reason


def test_a_level_may_be_met_exactly_at_a_checkpoint_even_the_first():
    assert lead_at_progress(EPOCHS, AHEAD, BEHIND, level=0.4).epoch == pytest.approx(3)
    first = lead_at_progress(EPOCHS, AHEAD + 0.1, BEHIND, level=0.0)
    assert (first.epoch, first.lead) == pytest.approx((0, 0.1))


def test_the_first_crossing_counts():
    dipping = np.array([0.0, 0.4, 0.2, 0.4, 0.5, 0.6])
    assert lead_at_progress(EPOCHS, AHEAD, dipping).epoch == pytest.approx(0.75)


def test_a_level_that_is_never_reached_is_a_reason():
    found = lead_at_progress(EPOCHS, AHEAD, BEHIND / 4)
    assert math.isnan(found.lead) and math.isnan(found.epoch)
    assert found.reason == "0.3 is never reached, 0.2 at most"


def test_equal_curves_have_no_lead():
    assert lead_at_progress(EPOCHS, BEHIND, BEHIND).lead == pytest.approx(0)


@given(st.floats(0.02, 0.75), st.floats(0.1, 10), st.floats(0, 0.2))
def test_the_speed_of_training_does_not_change_a_lead(level, speed, lift):
    plain = lead_at_progress(EPOCHS, AHEAD + lift, BEHIND, level=level)
    slower = lead_at_progress(speed * EPOCHS, AHEAD + lift, BEHIND, level=level)
    assert slower.lead == pytest.approx(plain.lead, abs=1e-9)
    assert slower.epoch == pytest.approx(speed * plain.epoch)
    swapped = lead_at_progress(EPOCHS, BEHIND, AHEAD + lift, level=max(level, lift + 0.01))
    assert swapped.lead <= 1e-9


@pytest.mark.parametrize(
    ("epochs", "ahead", "message"),
    [
        (EPOCHS[:-1], AHEAD, "not 5, 6 and 6"),
        (EPOCHS[::-1], AHEAD, "must increase"),
        (EPOCHS, np.where(EPOCHS == 2, np.nan, AHEAD), "1 of the epochs and values"),
    ],
)
def test_impossible_input_is_named(epochs, ahead, message):
    with pytest.raises(KcError, match=message):
        lead_at_progress(epochs, ahead, BEHIND)
