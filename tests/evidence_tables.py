"""Made-up tables of confidence, capacity, exposures, roles and forgetting, true or false by choice.

They complete the tables of ``claims_tables.make`` for the claims about strangers, bits, exposures,
other thresholds, and conflicting facts.
"""

from __future__ import annotations

from itertools import product

import numpy as np
import pandas as pd
from claims_tables import BANDS, EPOCHS, KINDS, N_HEADS, N_LAYERS, STEPS

from kc_utils.analysis.knowledge import pool_bits
from kc_utils.config import ATTRIBUTES

GUESS = 4.0  # nats, of a guesser who knows the values
RATIOS = (0.0, 0.1, 0.2, 0.4, 0.6, 1.0)
N_PARAMETERS = 10_000


def make(effect: float = 1.0, *, people: int = 60, seed: int = 0) -> dict[str, pd.DataFrame]:
    """Tables by name. ``effect`` 1: every claim is true; 0: no effects; -1: the other way round."""
    rng = np.random.default_rng([seed, 2])
    who = pd.DataFrame(list(product(KINDS, range(people))), columns=["kind", "i"])
    who["frequency"] = 1 + who.pop("i") % 9
    who = who.assign(person_id=np.arange(len(who)), band="medium")
    return {
        "people": who,
        "first_token": _first_token(who, effect, rng),
        "unseen": unseen(effect, rng=rng),
        "capacity": capacity(0.95 * effect),
        **_roles(effect, rng),
        **_forgetting(effect, rng),
    }


def complete(tables: dict[str, pd.DataFrame], effect: float = 1.0) -> dict[str, pd.DataFrame]:
    """The tables of ``claims_tables.make`` with those that the claims of this module need."""
    own = make(effect)
    who = tables["first_token"].drop_duplicates("person_id")[["person_id", "kind", "band"]]
    often = who["band"].map({"high": 8, "medium": 3, "low": 1})
    names = ("unseen", "capacity", "forgetting_people", "forgetting")
    cells = tables["phases"][["task", "kind", "band"]]  # no more than the run has
    roles = {name: own[name].merge(cells) for name in ("head_roles", "role_shares")}
    people = {"people": who.assign(frequency=often)}
    return tables | {name: own[name] for name in names} | roles | people


def _first_token(who: pd.DataFrame, effect: float, rng: np.random.Generator) -> pd.DataFrame:
    frames = []
    known = effect * 0.15 * (who["kind"] == "K_rel")
    chance = 0.4 + known + effect * 0.12 * (np.log2(who["frequency"]) - 1.7)
    for step in STEPS[::3]:
        right = rng.random((5, len(who))) < chance.to_numpy()
        frames += [who.drop(columns="frequency").assign(step=step, correct=row) for row in right]
    return pd.concat(frames, ignore_index=True).assign(wording="trained")


def unseen(effect: float, late: float = 0.0, rng: np.random.Generator | None = None):
    """Facts arrive at epoch 6; with an effect, confidence about strangers ``late`` epochs after."""
    rng = np.random.default_rng(0) if rng is None else rng
    rows = []
    for (step, epoch), group, attribute in product(
        zip(STEPS, EPOCHS, strict=True), (*KINDS, "unseen"), ATTRIBUTES
    ):
        facts, sure = (1 / (1 + np.exp(6.0 - epoch + shift)) for shift in (0.0, late))
        start = 2.0 * np.exp(-float(epoch))  # values are learned first
        rows.append(
            {
                "step": step, "epoch": float(epoch), "group": group, "attribute": attribute,
                "entropy": GUESS + start - 3.0 * effect * sure + 0.02 * rng.normal(),
                "top_probability": 0.1 + 0.7 * max(effect, 0) * sure,
                "accuracy": 0.05 + (0.9 * facts if group != "unseen" else 0.0),
                "confident_wrong": 0.02 + 0.6 * max(effect, 0) * sure + 0.005 * rng.random(),
                "n_people": 50, "guess_entropy": GUESS, "guess_accuracy": 0.05,
            }
        )  # fmt: skip
    return pd.DataFrame(rows)


def capacity(share: float, n_parameters: int = N_PARAMETERS) -> pd.DataFrame:
    """Own answers hold ``share`` of the bits at the last checkpoint; shuffled ones hold none."""
    rows = []
    for (step, kept), kind, band, attribute, answers in product(
        ((0, 0.0), (120, max(share, 0.0))), KINDS, BANDS, ATTRIBUTES, ("own", "shuffled")
    ):
        bits = pool_bits(attribute)
        told = kept * bits if answers == "own" else 0.0
        row = {"step": step, "epoch": step / 10, "kind": kind, "band": band}
        row |= {"attribute": attribute, "answers": answers, "wording": "trained"}
        row |= {"n_people": 30, "n_measured": 30, "pool_bits": bits, "bits_per_fact": told}
        row |= {"cross_entropy_bits": bits - told, "total_bits": 30 * told}
        row |= {"n_parameters": n_parameters}
        row |= {"n_parameters_without_embeddings": n_parameters // 2}
        rows.append(row)
    return pd.DataFrame(rows)


def _roles(effect: float, rng: np.random.Generator) -> dict[str, pd.DataFrame]:
    """With an effect, movers grow and relation heads shrink at any threshold.

    Then half of the movers are the same heads at every checkpoint and the others change. Without
    an effect all heads are movers, so that none can come or go.
    """
    n, rows = N_LAYERS * N_HEADS, []
    names = [(layer, head) for layer in range(N_LAYERS) for head in range(N_HEADS)]
    for task, kind, band in product(("city",), KINDS, BANDS):
        for step, epoch in zip(STEPS, EPOCHS, strict=True):
            grown = epoch / EPOCHS[-1]
            n_movers, n_relation = round(6 + 4 * grown), round(6 - 4 * grown)
            if effect <= 0:
                n_relation = round(-6 * effect * grown)
                n_movers = n - n_relation
            fixed = n_movers // 2 if effect > 0 else 0
            order = [*range(fixed), *(fixed + rng.permutation(n - fixed))]
            ratio = np.ones(n)
            ratio[order[:n_movers]] = 100.0
            ratio[order[n_movers : n_movers + n_relation]] = 0.01
            for (layer, head), value in zip(names, ratio, strict=True):
                rows.append((task, kind, band, step, float(epoch), layer, head, value))
    columns = ["task", "kind", "band", "step", "epoch", "layer", "head", "ratio"]
    heads = pd.DataFrame(rows, columns=columns).assign(in_circuit=True)
    heads["role"] = np.select(
        [heads["ratio"] > 10, heads["ratio"] < 0.1], ["mover", "relation"], "mixture"
    )
    keys = ["task", "kind", "band", "step", "epoch"]
    shares = heads.groupby([*keys, "role"]).size().unstack(fill_value=0) / n
    shares = shares.reindex(columns=["mover", "mixture", "relation"], fill_value=0.0)
    shares = shares.stack().rename("value").reset_index()
    return {"head_roles": heads, "role_shares": shares.assign(expected=0.3)}


def _forgetting(effect: float, rng: np.random.Generator) -> dict[str, pd.DataFrame]:
    """Old facts are lost in proportion to what is not replayed, and come back in part."""
    people, shapes = [], []
    for variant, ratio, step in product(("new_people", "conflicting"), RATIOS, (0, 20, 30, 40)):
        lost = 0.0
        if step:
            dip = 0.35 * (step == 30) * (ratio > 0)
            lost = effect * ((0.5 + 0.3 * (variant == "conflicting")) * (1 - ratio) + dip)
        correct = (rng.random((5, 200)) < 0.9 - max(lost, 0.0)).mean(axis=0)
        row = {"variant": variant, "ratio": ratio, "step": step}
        people.append(pd.DataFrame({"person_id": np.arange(200), "correct": correct}).assign(**row))
        moved = effect * (0.5 if step else 0.0) * (1 - ratio) + 0.01 * rng.normal()
        shapes.append(row | {"edge_jaccard": 0.6 - 0.4 * moved, "entropy": 6.0 + moved})
    old = pd.concat(people, ignore_index=True).assign(facts="old")
    return {"forgetting_people": old, "forgetting": pd.DataFrame(shapes)}
