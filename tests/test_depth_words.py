"""What runs with nothing to learn do in the layers, from the knee of the real runs on."""

from __future__ import annotations

import pandas as pd

from kc_utils.book.depth_words import without_knowledge
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
    said = without_knowledge(pd.concat(curves), KNEES)
    assert "by -1.00 layers (GPT-2-like, 1 run; real runs +0.50)." in said
    assert "Llama-like" not in said  # no such run


def test_without_shuffled_runs_or_a_knee_nothing_is_said() -> None:
    assert without_knowledge(curve("tiny", OWN, 1, 2, 3, 4), KNEES) == ""
    both = pd.concat([curve("smollm2", name, 1, 2, 3, 4) for name in (OWN, SHUFFLED)])
    assert without_knowledge(both, KNEES) == ""
