"""The plan of the confirmatory study as a part of a page."""

from __future__ import annotations

from kc_utils.book.markdown import table
from kc_utils.study.claims.plan import digest, plan


def pages() -> dict[str, str]:
    """``plan.md``: digest and date, seeds, predictions, arms with their decision rules."""
    fixed = plan()
    seeds = f"{fixed.seeds[0]} to {fixed.seeds[-1]}"
    hours = fixed.hours + sum(arm.hours for arm in fixed.arm)
    rows = [("date", fixed.date), ("SHA-256 of the file", f"`{digest()}`"), ("seeds", seeds),
            ("models", ", ".join(f"`{name}`" for name in fixed.profiles)),
            ("null runs", fixed.null_runs), ("exclusions", fixed.exclusions),
            ("seen before", fixed.seen_before),
            ("hours on two cores", f"{hours:.0f}, {fixed.hours:.0f} of them the sweep. "
             f"{fixed.hours_from}")]  # fmt: skip
    predicted = [(f"`{p.claim}`", p.verdict, p.because) for p in fixed.prediction]
    arms = [(arm.name, f"{arm.question} {arm.design}", f"{arm.quantity} ({arm.unit})",
             arm.gate, f"{arm.margin:g}: {arm.reason}", arm.prediction, arm.decision)
            for arm in fixed.arm]  # fmt: skip
    heads = ("arm", "question and design", "quantity", "gate", "margin", "prediction", "decision")
    parts = [
        "The file `kc_utils/study/claims/confirmatory.toml`; the primary claims, controls, gates "
        "and margins of `claims.toml` are bound to it by their digest.",
        table(("", ""), rows),
        "**Predictions** for the primary claims, in both models:",
        table(("claim", "verdict", "because"), predicted),
        "**Arms** beyond the stages of a run, eight seeds of two models each:",
        table(heads, arms),
    ]
    return {"plan.md": "\n\n".join(parts) + "\n"}
