"""What runs with nothing to learn do in the layers, from the knee of the real runs on."""

from __future__ import annotations

import pandas as pd

from kc_utils.book.depth_words import as_without_knowledge, moves_from, without_knowledge
from kc_utils.book.front_panels import OWN
from kc_utils.book.front_panels import SHUFFLED_RUN as SHUFFLED

KNEES = pd.DataFrame({"profile": ["tiny", "tiny-llama"], "value": [2.0, 2.0]})


def curve(profile: str, series: str, *layers: float, n: int = 4) -> pd.DataFrame:
    x = [float(i) for i in range(len(layers))]
    at = {"profile": profile, "series": series, "n_seeds": n}
    return pd.DataFrame({"x": x, "value": list(layers)}).assign(**at)


def test_movement_is_counted_from_the_knee_on() -> None:
    curves = [curve("tiny", OWN, 9, 1, 2, 2.5), curve("tiny", SHUFFLED, 0, 5, 4, 3, n=1),
              curve("tiny-llama", OWN, 1, 2, 3, 4)]  # fmt: skip
    moves = moves_from(pd.concat(curves), KNEES)
    said = without_knowledge(moves)
    assert "by -1.00 layers (GPT-2-like, 1 run; real runs +0.50)," in said
    assert said.startswith("Where nothing") and not as_without_knowledge(moves)  # the other way
    assert "Llama-like" not in said  # no such run


def test_without_shuffled_runs_or_a_knee_nothing_is_said() -> None:
    none = moves_from(curve("tiny", OWN, 1, 2, 3, 4), KNEES)
    assert without_knowledge(none) == "" and not as_without_knowledge(none)
    both = pd.concat([curve("smollm2", name, 1, 2, 3, 4) for name in (OWN, SHUFFLED)])
    assert moves_from(both, KNEES).empty


def test_a_third_of_the_way_the_same_way_in_every_profile_is_alike() -> None:
    def moves(*shares: float) -> pd.DataFrame:
        return pd.DataFrame({"profile": [*"ab"][: len(shares)], "own": -0.3, "runs": 4,
                             "shuffled": [-0.3 * share for share in shares]})  # fmt: skip

    assert as_without_knowledge(moves(0.4, 2.0))
    assert "This need not be about facts: where nothing" in without_knowledge(moves(0.4))
    assert not as_without_knowledge(moves(0.4, 0.3))
    assert not as_without_knowledge(moves(0.4, -2.0))
