"""Figures of a study of facts: curves over size, what circuits answer, whose facts they answer."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from kc_utils.plots.canvas import label_outer, legend_below, line_handle, mark_handle, panels
from kc_utils.plots.components import role_map
from kc_utils.plots.curves import Curves, draw, finish, handles, prepare
from kc_utils.plots.evaluation import size_curve
from kc_utils.plots.heat import heat, limits_of
from kc_utils.plots.logit_lens import LABELS, LAYER
from kc_utils.plots.style import BLACK, BLUE, DASHED, GREY, VERMILION, Look, styled
from kc_utils.plots.tables import check

#: Group and kind of answer of a logit lens: known facts, unknown ones, and the wrong answer.
LENS = {
    ("known", "right"): Look(BLUE, "o", "known facts"),
    ("all", "right"): Look(BLUE, "o", "all facts"),
    ("unknown", "right"): Look(VERMILION, "s", "facts the model gets wrong"),
    ("known", "wrong"): Look(GREY, "x", "known facts, another subject's answer", DASHED),
    ("all", "wrong"): Look(GREY, "x", "all facts, another subject's answer", DASHED),
}
_TRANSFER = ["source_relation", "source_group", "relation", "group", "circuit", "ablation"]
_SIDES = {"evaluate": "held-out facts", "discover": "discovery facts"}


@styled
def facts_curves(sizes: pd.DataFrame, cut: tuple[float, float] = (-0.5, 1.5)) -> Figure:
    """Faithfulness over circuit size: a row per relation, a column per side.

    Columns: relation, split (evaluate, discover), circuit, ablation, share, faithfulness; optional
    faithfulness_low and faithfulness_high. ``cut``: lowest and highest value that is shown.
    """
    needed = ["relation", "split", "circuit", "ablation", "share", "faithfulness"]
    sizes = check(sizes, needed, "facts_curves")
    sizes = sizes.assign(
        kind=sizes["relation"], band=sizes["split"].map(_SIDES), value=sizes["faithfulness"]
    )
    columns = ["kind", "band", "share", "circuit", "ablation", "value"]
    return size_curve(sizes[columns], cut)


@styled
def facts_hits(transfer: pd.DataFrame) -> Figure:
    """Hit@10 on held-out facts of each relation: the whole model, its circuit, random circuits.

    Columns: source_relation, source_group, relation, group, circuit, ablation, hit, hit_low,
    hit_high, model_hit. One panel per ablation; the circuit is the one of the same facts.
    """
    name = "facts_hits"
    transfer = check(transfer, [*_TRANSFER, "hit", "hit_low", "hit_high", "model_hit"], name)
    same = (transfer["source_relation"] == transfer["relation"]) & (
        transfer["source_group"] == transfer["group"]
    )
    rows = transfer[same]
    ablations = [a for a in ("corrupted", "mean", "zero") if a in set(rows["ablation"])]
    names = list(dict.fromkeys(map(" ".join, rows[["relation", "group"]].to_numpy().tolist())))
    looks = {"model": Look(BLACK, "D", "whole model"), "own": Look(BLUE, "o", "its own circuit"),
             "random": Look(GREY, "x", "random circuits, same size")}  # fmt: skip
    figure, axes = panels(1, len(ablations), height=0.5 * len(names) + 1.2)
    for axis, ablation in zip(axes[0], ablations, strict=True):
        part = rows[rows["ablation"] == ablation]
        for row in part.to_dict("records"):
            y, look = names.index(f"{row['relation']} {row['group']}"), looks[row["circuit"]]
            y += 0.15 if row["circuit"] == "random" else 0.0
            style = {"color": look.colour, "marker": look.marker, "zorder": 2.5}
            axis.plot([row["hit_low"], row["hit_high"]], [y, y], color=look.colour, linewidth=1.2)
            axis.plot([row["hit"]], [y], linestyle="", **style)
            if row["circuit"] == "own":
                model = looks["model"]
                style = {"color": model.colour, "marker": model.marker}
                axis.plot([row["model_hit"]], [y - 0.15], linestyle="", **style)
        axis.set_title(f"{ablation} outside")
        axis.set_xlim(-0.03, 1.03)
        axis.set_yticks(range(len(names)), names)
        axis.set_ylim(len(names) - 0.5, -0.5)
    label_outer(axes, "Hit@10 (share)", [""])
    legend_below(figure, [mark_handle(look) for look in looks.values()])
    return figure


@styled
def facts_transfer(
    transfer: pd.DataFrame, value: str = "faithfulness", ablation: str = "corrupted"
) -> Figure:
    """Whose circuit (across) answers whose facts (upwards), with random circuits as control.

    Columns: source_relation, source_group, relation, group, circuit (own, random), ablation and
    ``value``; intervals <value>_low and <value>_high are written under it.
    """
    ends = [f"{value}_low", f"{value}_high"]
    transfer = check(transfer, [*_TRANSFER, value, *ends], "facts_transfer")
    rows, random = transfer[transfer["ablation"] == ablation], "random\ncircuits"
    source = rows["source_relation"] + "\n" + rows["source_group"]
    source = source.mask(rows["circuit"] == "random", random)
    rows = rows.assign(source=source, target=rows["relation"] + "\n" + rows["group"])
    check(rows, [], "facts_transfer", unique=["source", "target"])
    targets = list(dict.fromkeys(rows["target"]))
    grid, low, high = (
        rows.pivot(index="target", columns="source", values=column).reindex(
            index=targets[::-1], columns=[*targets, random]
        )
        for column in (value, *ends)
    )
    texts = [
        [f"{v:z.2f}\n{a:z.2f} to {b:z.2f}" for v, a, b in zip(*row, strict=True)]
        for row in zip(*(part.to_numpy() for part in (grid, low, high)), strict=True)
    ]
    figure, axes = panels(height=0.75 * len(targets) + 1.0)
    limits = limits_of(rows[value], low=0.0)
    shown = (limits[0], min(limits[1], 1.2))
    mesh = heat(axes[0, 0], grid, limits=shown, labels=np.array(texts, dtype=object))
    axes[0, 0].axvline(len(targets), color="white", linewidth=4)
    label_outer(axes, "circuit found on", ["run on held-out facts of"])
    figure.colorbar(mesh, ax=axes, label=value.replace("_", " "), pad=0.02)
    return figure


@styled
def facts_roles(heads: pd.DataFrame) -> Figure:
    """Roles of the heads in one circuit: heads across, layers upwards.

    Columns: layer, head, role, in_circuit.
    """
    heads = check(heads, ["layer", "head", "role", "in_circuit"], "facts_roles")
    figure = role_map(heads.assign(epoch=0))
    figure.axes[0].set_title("")
    return figure


@styled
def facts_lens(lens: pd.DataFrame, quantity: str = "probability") -> Figure:
    """The right answer's first token after every layer; a row per relation, a panel per position.

    Columns: relation, group, target (right, wrong), layer, position (last, subject), and
    ``quantity`` (probability or log10_rank).
    """
    lens = check(lens, ["relation", "group", "target", "layer", "position", quantity], "facts_lens")
    relations, positions = list(dict.fromkeys(lens["relation"])), ["last", "subject"]
    figure, axes = panels(len(relations), 2, height=2.3)
    shown = {}
    for i, relation in enumerate(relations):
        for axis, position in zip(axes[i], positions, strict=True):
            part = lens[(lens["relation"] == relation) & (lens["position"] == position)]
            for key, look in LENS.items():
                curve = part[(part["group"] == key[0]) & (part["target"] == key[1])]
                if curve.empty:
                    continue
                curve, shown[key] = curve.sort_values("layer"), look
                style = {"color": look.colour, "marker": look.marker, "linestyle": look.line}
                axis.plot(curve["layer"], curve[quantity], markevery=3, **style)
            axis.set_title(f"{relation}, {'last' if position == 'last' else 'best subject'} token")
    words = {"probability": LABELS["probability"], "log10_rank": "log10 of rank (0 = best)"}
    label_outer(axes, LAYER, [words[quantity]] * len(relations))
    legend_below(figure, [line_handle(look) for look in shown.values()])
    return figure


@styled
def facts_evolution(topology: pd.DataFrame) -> Figure:
    """Entropy and overlap with the last and the previous circuit over checkpoints.

    Columns: checkpoint, relation, group, entropy, edge_jaccard, edge_jaccard_previous.
    """
    names = {"entropy": "entropy (nats)", "edge_jaccard": "overlap with last",
             "edge_jaccard_previous": "overlap with previous"}  # fmt: skip
    topology = check(topology, ["checkpoint", "relation", "group", *names], "facts_evolution")
    facts = topology["relation"] + " " + topology["group"]
    keys = ["checkpoint", "facts", "quantity", "value"]
    frame = topology.rename(columns=names).assign(facts=facts)
    frame = frame.melt(keys[:2], [*names.values()], *keys[2:])
    spec = Curves("facts_evolution", "", x="checkpoint", colour="facts", columns=None)
    figure, axes = panels(1, len(names), height=2.6, sharey=False)
    for axis, quantity in zip(axes[0], names.values(), strict=True):
        part, fitted = prepare(frame[frame["quantity"] == quantity].dropna(subset="value"), spec)
        draw(axis, part, fitted, frame)
        axis.set_title(quantity)
    finish(axes, spec)
    label_outer(axes, "checkpoint", [""])
    legend_below(figure, handles(frame, spec))
    return figure
