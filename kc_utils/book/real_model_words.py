"""What chapter 9 says of the real model: sentences and tables from the data set of a sweep."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from kc_utils.analysis.acquisition import leads
from kc_utils.book.sentences import interval_of, listed, sentence
from kc_utils.runs.dataset import SHUFFLED, SweepTables

_MOST = 0.5  # share of attention from which on a head is said to look at a token


def ends(accuracy: pd.DataFrame) -> str:
    """Where accuracy on texts read ends for each kind of person, and in the low band.

    ``accuracy``: table ``accuracy_read`` of one profile.
    """
    last = accuracy[accuracy["epoch"] == accuracy.groupby("seed")["epoch"].transform("max")]
    n = accuracy["seed"].nunique()
    by_kind = last[last["band"] == "all"].groupby("kind", sort=False)["value"].mean()
    low = last.loc[last["band"] == "low", "value"].mean()
    return sentence(
        "At the end ({n} {seeds}) accuracy is {kinds}; in the low band it is {low:.2f}.",
        n=n,
        seeds="seed" if n == 1 else "seeds",
        kinds=listed("**{value:.2f}** for {kind}", by_kind.reset_index(), ", "),
        low=low,
    )


def bends(shift: pd.DataFrame) -> str:
    """How many circuits have an onset and a knee of the kept edges' entropy, per profile."""
    kept = shift[shift["quantity"] == "entropy_kept"]
    rows = [
        {
            "models": f"`{profile}`",
            "n": len(part),
            "onset": int(part["onset"].notna().sum()),
            "knee": int(part["knee"].notna().sum()),
        }
        for profile, part in kept.groupby("profile", sort=False)
    ]
    said = listed("{models}, {onset} of {n} circuits have an onset and {knee} a knee", rows)
    return f"{said}. Circuits without both are not in the figure."


def known(controls: pd.DataFrame, prior: pd.DataFrame) -> str:
    """How many real people the model knows, and how often names pass that should not.

    ``controls``: table ``real_controls`` (check, n_names, occupation, known) of one profile;
    ``prior``: its table ``prior_knowledge``.
    """
    rates = controls.groupby("check", sort=False)[["n_names", "known"]].mean()
    own = rates.iloc[0]
    others = [{"check": name, "known": row["known"]} for name, row in rates.iloc[1:].iterrows()]
    return sentence(
        "Of {n:.0f} real people the model knows **{share:.0%}**. The same rule passes {others}. "
        "Each seed draws {drawn:.0f} of those whom the model knows.",
        n=own["n_names"],
        share=own["known"],
        others=listed("{known:.1%} of {check}", others, ", "),
        drawn=prior["n_people"].mean(),
    )


def sooner(times: pd.DataFrame) -> str:
    """After how many epochs people of each kind are known, on average over people and seeds.

    ``times``: table ``time_to_knowledge`` of one profile; who is not known at the end counts as
    known there.
    """
    means = times.groupby("kind", sort=False)["epoch"].mean().reset_index(name="epoch")
    open_ = int((~times["known"].astype(bool)).sum())
    return sentence(
        "On average a person is known after {means} epochs. {left} of {n:,} people are not known "
        "at the end, and are counted as if they became known at the last checkpoint.",
        means=listed("**{epoch:.2f}** ({kind})", means, ", "),
        left=open_ or "None",
        n=len(times),
    )


def lead(times: pd.DataFrame) -> str:
    """By how many epochs K_rel is known before each other kind, with intervals over seeds."""
    found = leads(times)
    n = found["n_seeds"].max()
    rows = [row | {"by": interval_of(row)} for row in found.to_dict("records")]
    return sentence(
        "Known people are ahead of {others} ({over}).",
        others=listed("{kind} by **{by:.2f}** epochs", rows, " and of "),
        over="1 seed" if n == 1 else f"means and 95 % intervals over {n} seeds",
    )


def sizes(chosen: pd.DataFrame) -> str:
    """``2,010 (1.6 %)``, or from the smallest to the largest: the chosen rows of circuit_size."""
    least, most = chosen["n"].min(), chosen["n"].max()
    low, high = chosen["share"].min(), chosen["share"].max()
    if least == most:
        return f"{least:,} ({low:.1%})"
    return f"{least:,} to {most:,} ({low:.1%} to {high:.1%})"


def runs(sweep: SweepTables, profile: str) -> pd.DataFrame:
    """One row per run, shuffled ones too: profile, seed, commit, machine, minutes."""
    found = sweep.runs
    found = found[found["profile"].isin([profile, profile + SHUFFLED])].reset_index(drop=True)
    shown = found[["profile", "seed", "git", "machine"]].rename(columns={"git": "commit"})
    return shown.assign(minutes=(found["seconds"] / 60).round().astype(int))


def question(
    row: pd.Series, edges: pd.DataFrame, links: pd.DataFrame, tokens: Sequence[str]
) -> str:
    """The question of the attribution graph, what its edges carry, and where its heads look.

    ``links``: node, source, destination (positions), share (of the destination's attention).
    """
    looks = links[links["share"] >= _MOST].sort_values("share", ascending=False)
    heads = [
        {"head": r.node, "at": tokens[r.destination], "to": tokens[r.source], "share": r.share}
        for r in looks.itertuples()
    ]
    said = sentence(
        "*{clean}*, with *{right}* right and *{wrong}* wrong. The {n} edges carry {share:.0%} of "
        "the question's |score|.",
        **row[["clean", "right", "wrong"]],
        n=len(edges),
        share=edges["share"].sum(),
    )
    if heads:
        looked = listed("`{head}` from `{at}` to `{to}` ({share:.0%})", heads, ", ")
        said += f" Heads that spend most of their attention on one token: {looked}."
    return said if row["known"] else f"{said} The model does not answer both prompts right."
