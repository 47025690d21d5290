"""Sentences of the chapter on facts, with the numbers of the tables at hand."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pandas as pd

from kc_utils.book.markdown import text as plain
from kc_utils.book.sentences import enumeration, first_up
from kc_utils.facts.study_figures import of

Tables = dict[str, pd.DataFrame]


def setup(record: dict[str, Any], tables: Tables) -> str:
    """Model, size of the graph and the circuit, cost, versions."""
    graph, settings, made = tables["graph"].iloc[0], record["of"]["settings"], record["made_with"]
    model, cost = record["of"]["models"][-1], record["cost"]
    versions = ", ".join(
        f"{name} {plain(made['versions'][name])}" for name in ("torch", "transformers")
    )
    return (
        f"- model: {plain(model['name'])}, {graph['n_layers']} layers with {graph['n_heads']} "
        f"heads; {graph['n_nodes']:,} nodes and {graph['n_edges']:,} edges, of which the circuit "
        f"keeps **{graph['top_n']:,}** ({settings['top_share']:.0%}) before pruning\n"
        f"- up to {settings['pairs']} pairs for each relation, group and half; {settings['steps']} "
        f"steps of EAP-IG; seed {settings['seed']}\n"
        f"- cost: **{cost['cpu_seconds'] / 60:.0f} minutes** of one processor core, "
        f"{cost['peak_memory_mib'] / 1024:.1f} GiB of memory\n"
        f"- commit {plain(made['git'] or 'not recorded')}, {versions}, {plain(made['machine'])}"
    )


def known_share(facts: pd.DataFrame) -> str:
    """How much is known per relation, beside always giving the commonest answer."""
    said = []
    for relation, part in _by_relation(facts):
        guess = part["answer"].value_counts().iloc[0] / len(part)
        said.append(
            f"**{part['first_right'].mean():.0%}** of the facts of *{relation}* are right (always "
            f"giving the commonest answer: {guess:.0%})"
        )
    return "By the first token, " + "; ".join(said) + "."


def curve(sizes: pd.DataFrame, group: str, enough: float = 0.85) -> str:
    """The smallest tested size that restores ``enough`` on held-out facts."""
    rows = sizes[(sizes["ablation"] == "corrupted") & (sizes["group"] == group)]
    said = []
    for relation, part in _by_relation(rows[rows["split"] == "evaluate"]):
        found = part[part["circuit"] == "own"].sort_values("share")
        good = found[found["faithfulness"] >= enough]
        if good.empty:
            said.append(f"no tested size below the whole model reaches {enough} for *{relation}*")
            continue
        first = good.iloc[0]
        other = part[(part["circuit"] != "own") & (part["share"] == first["share"])]
        said.append(
            f"for *{relation}* the first tested size that restores {enough} is "
            f"**{first['share']:.1%}** of the edges ({first['n_edges']:,} after pruning, "
            f"faithfulness {first['faithfulness']:z.2f}), where random circuits restore "
            f"{other['faithfulness'].max():z.2f} at best"
        )
    return "On held-out facts, with corrupted values outside, " + "; ".join(said) + "."


def alone(sizes: pd.DataFrame, group: str, little: float = 0.25) -> str:
    """What circuits do with zeros or means outside, where nothing else of the answer is left.

    Empty where neither was run. An advantage over random circuits below ``little`` is called none.
    """
    rows = sizes[sizes["ablation"].isin(["zero", "mean"]) & (sizes["group"] == group)]
    rows = rows[(rows["split"] == "evaluate") & (rows["share"] < 1)]
    if rows.empty:
        return ""
    keys = ["relation", "ablation", "share", "circuit"]
    wide = rows.groupby(keys)["faithfulness"].mean().unstack("circuit")
    gain = wide["own"] - wide.drop(columns="own").max(axis=1)
    what = (
        "they carry what differs between two subjects, and by themselves hardly answer"
        if gain.max() < little
        else "they also answer by themselves, in part"
    )
    return (
        f"With zeros or means outside they restore {gain.mean():.2f} more than random circuits of "
        f"the same size on average, and {gain.max():.2f} more at most, up to "
        f"{rows['share'].max():.0%} of the edges: {what}."
    )


def specificity(transfer: pd.DataFrame, overlap: pd.DataFrame, group: str) -> str:
    """Discovered against foreign circuits on held-out facts, and how many edges they share.

    Differences are paired over facts, with 95 % intervals over subjects.
    """
    rows = transfer[transfer["ablation"] == "corrupted"].query("group == @group")
    said = []
    for relation, part in _by_relation(rows):
        found = part[part["circuit"] == "own"]
        same = found.query("source_relation == relation and source_group == group").iloc[0]
        foreign = found.query("source_relation != relation and source_group == group")
        random = part[part["circuit"] == "random"].iloc[0]
        text = f"*{relation}*: its own circuit restores **{same['faithfulness']:z.2f}**"
        for row in foreign.to_dict("records"):
            text += f", that of *{plain(row['source_relation'])}* **{row['faithfulness']:z.2f}** "
            text += (
                f"(its own minus that: {row['own_more']:+z.2f}, 95 %: {row['own_more_low']:+z.2f} "
                f"to {row['own_more_high']:+z.2f})"
            )
        said.append(f"{text}, random ones {random['faithfulness']:z.2f}")
    pairs = overlap.query("group == @group and other_group == @group and relation < other_relation")
    for row in pairs.to_dict("records"):
        both = f"*{plain(row['relation'])}* and *{plain(row['other_relation'])}*"
        said.append(
            f"the circuits of {both} share "
            f"**{row['edge_jaccard']:.0%}** of their joint edges (two random ones of that size: "
            f"{row['random_edge_jaccard']:.0%})"
        )
    return "On held-out facts of " + "; ".join(said) + "."


def of_what(transfer: pd.DataFrame, group: str) -> str:
    """Whether circuits are about their own relation or about its subjects: the chapter's answer."""
    rows = transfer.query("ablation == 'corrupted' and circuit == 'own' and source_group == @group")
    said, clear, large = [], [], []
    for relation, part in _by_relation(rows[rows["group"] == group]):
        own = part.query("source_relation == relation").iloc[0]
        others = part.query("source_relation != relation")
        if others.empty:
            continue
        best = others.loc[others["faithfulness"].idxmax()]
        if best["own_more_low"] > 0:
            clear.append(f"*{plain(relation)}*")
        large.append(bool(best["own_more"] > own["faithfulness"] / 2))
        said.append(
            f"asked about *{plain(relation)}*, the circuit found on "
            f"*{plain(best['source_relation'])}* restores **{best['faithfulness']:z.2f}** of the "
            f"logit difference, and its own circuit **{own['faithfulness']:z.2f}** (difference "
            f"{best['own_more']:+z.2f}, 95 %: {best['own_more_low']:+z.2f} to "
            f"{best['own_more_high']:+z.2f})"
        )
    if not said:
        return ""
    return f"**{_preference(clear, len(said), large)}.** {first_up('; '.join(said))}."


def _preference(clear: Sequence[str], n: int, large: Sequence[bool]) -> str:
    """Which of ``n`` circuits restore more than a foreign one, and whether that is most of it."""
    if not clear:
        return (
            "Circuits of this size show no clear preference for their own question: most of what "
            "they restore is common to both"
        )
    if len(clear) < n:
        one = len(clear) == 1
        common = ", and most of what is restored is common to both" * (not any(large))
        return (
            f"Only the circuit{'s' * (not one)} of {enumeration(clear)} prefer{'s' * one} "
            f"{'its' if one else 'their'} own question{common}"
        )
    if all(large):
        return "Each circuit is about its own question"
    return (
        "Each circuit prefers its own question, though part of what it restores is common to both"
    )


def unknown(tables: Tables) -> str:
    """What the known facts' circuit does for facts that the model gets wrong."""
    rows = tables["transfer"].query("ablation == 'corrupted' and circuit == 'own'")
    rows = rows.query("source_relation == relation and source_group == 'known'")
    facts, said = tables["facts"], []
    for relation, part in rows.groupby("relation", sort=False):
        if "unknown" not in set(part["group"]):
            continue
        row = part.set_index("group").loc["unknown"]
        wrong = of(facts, relation, "unknown")
        said.append(
            f"*{plain(relation)}*: the median rank of a right answer that is not first is "
            f"**{wrong['rank'].median():.0f}**, and {(wrong['rank'] <= 10).mean():.0%} are among "
            f"the first ten. The whole model's logit difference between the right answer and the "
            f"other country's is **{row['clean_logit_diff']:+.1f}** on wrong facts and "
            f"{part.set_index('group').loc['known', 'clean_logit_diff']:+.1f} on known ones; the "
            f"circuit of known facts restores **{row['faithfulness']:z.2f}** of it on wrong facts"
        )
    return "\n".join(f"- {text}." for text in said)


def heads(table: pd.DataFrame) -> str:
    """Shares of the roles in the circuit and in the model, and the layers of mover heads."""
    inside = table[table["in_circuit"]]
    movers = inside[inside["role"] == "mover"]
    layers = (
        f", in layers {movers['layer'].min()} to {movers['layer'].max()}" if len(movers) else ""
    )
    return (
        f"The circuit has {len(inside)} of {len(table)} heads; **{len(movers)}** of them are mover "
        f"heads{layers}. Their share is {len(movers) / max(1, len(inside)):.0%} in the circuit and "
        f"{(table['role'] == 'mover').mean():.0%} among all heads of the model."
    )


def _by_relation(table: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """The rows of each relation, with its name as Markdown shows it: it is somebody's text."""
    for relation, part in table.groupby("relation", sort=False):
        yield plain(relation), part
