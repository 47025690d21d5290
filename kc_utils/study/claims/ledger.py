"""The ledger: every claim judged over the training runs of a sweep, or measured in one run."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import pandas as pd

from kc_utils.analysis.stats.resample import NotMeasured
from kc_utils.analysis.stats.seeds import LEAST_SEEDS
from kc_utils.errors import KcError
from kc_utils.runs.dataset import SweepTables, check_profile
from kc_utils.runs.folder import Run
from kc_utils.runs.stage import Workspace
from kc_utils.study.claims.claim import Claim, claims
from kc_utils.study.claims.measures import MEASURES
from kc_utils.study.claims.rule import ALPHA, NOT_MEASURED, decide
from kc_utils.study.claims.tables import RunTables, of_run, of_sweep

NUMBERS = ["profile", "seed", "id", "own", "control_effect", "effect", "note"]
#: What a row of the ledger repeats of its claim.
WORDS = ["id", "claim", "primary", "claimed_by", "paper", "topic", "notebook", "quantity", "unit",
         "control", "gate", "margin", "margin_reason"]  # fmt: skip
COLUMNS = [*WORDS, "profile", "own", "control_effect", "effect", "low", "high", "n_seeds",
           "verdict", "direction", "holm", "p_holm", "hangs_on", "note"]  # fmt: skip


def measure(run: RunTables, claim: Claim) -> dict[str, Any]:
    """What one training run says of one claim: own value, control and effect, or why nothing.

    Raises:
        KcError: a table lacks a column; names claim and training run.
    """
    found: dict[str, Any] = dict.fromkeys(("own", "control_effect", "effect"), math.nan)
    note = ""
    try:
        numbers = MEASURES[claim.measure](run, **claim.args, **claim.gates)
        found = {"own": numbers.own, "control_effect": numbers.control, "effect": numbers.effect}
        if not math.isfinite(numbers.effect):
            note = "the effect is not a finite number"
    except NotMeasured as reason:
        note = str(reason)
    except (KeyError, AttributeError, pd.errors.UndefinedVariableError) as error:
        raise KcError(
            f"The claim {claim.id!r} cannot be measured in seed {run.seed} of {run.profile}: its "
            f"tables lack {error}."
        ) from error
    return {"profile": run.profile, "seed": run.seed, "id": claim.id, **found, "note": note}


def numbers_of(sweep: SweepTables, judged: bool = True) -> pd.DataFrame:
    """One row per training run of a sweep and claim: :data:`NUMBERS`; ``judged`` as in
    :func:`.tables.of_sweep`."""
    rows = [measure(run, claim) for run in of_sweep(sweep, judged) for claim in claims()]
    return pd.DataFrame(rows, columns=NUMBERS)


def ledger(sweep: SweepTables, profile: str | None = None, judged: bool = True) -> pd.DataFrame:
    """The claims of every model of a sweep, primary ones first.

    ``own``, ``control_effect`` and ``effect`` are means over training runs, ``low`` and ``high``
    the 95 % t interval of the effect, ``holm`` whether *beyond the margin* survives Holm's
    correction ("" for secondary claims), ``hangs_on`` on how many single runs the verdict hangs.

    Raises:
        KcError: a table of the sweep is damaged, or it lacks ``profile``.
    """
    if profile is not None:
        check_profile(profile, sweep.record["profiles"])
    table = judge(numbers_of(sweep, judged))
    return table if profile is None else table[table["profile"] == profile].reset_index(drop=True)


def judge(numbers: pd.DataFrame, among: Iterable[Claim] | None = None) -> pd.DataFrame:
    """The ledger of :func:`ledger` from the numbers of single training runs."""
    among = claims() if among is None else tuple(among)
    twice = numbers[numbers.duplicated(["profile", "seed", "id"])]
    if len(twice):
        one = twice.iloc[0]
        raise KcError(f"Seed {one['seed']} of {one['profile']} measures {one['id']!r} twice.")
    rows = []
    for profile, part in numbers.groupby("profile", sort=False):
        parts = dict(tuple(part.groupby("id")))
        used = {name: p[p["note"] == ""] for name, p in parts.items()}
        decided = decide(among, {name: p["effect"].tolist() for name, p in used.items()})
        rows += [_row(str(profile), claim, parts[claim.id], used[claim.id], decided[claim.id])
                 for claim in among if claim.id in parts]  # fmt: skip
    return pd.DataFrame(rows, columns=COLUMNS)


def _row(profile, claim, part, used, decision) -> dict[str, Any]:
    interval = decision.interval
    holm = "" if not claim.primary else "yes" if decision.holm < ALPHA else "no"
    return {
        **claim.model_dump(include=set(WORDS)),
        "margin_reason": claim.reason,
        "profile": profile,
        "own": used["own"].mean(),
        "control_effect": used["control_effect"].mean(),
        "effect": interval.mean,
        "low": interval.low,
        "high": interval.high,
        "n_seeds": len(used),
        "verdict": decision.verdict,
        "direction": decision.direction,
        "holm": holm if decision.verdict != NOT_MEASURED else "",
        "p_holm": decision.holm,
        "hangs_on": decision.hangs_on,
        "note": _note(part, used),
    }


def _note(part: pd.DataFrame, used: pd.DataFrame) -> str:
    """Why training runs are missing, in a sentence."""
    missing = part[part["note"] != ""]
    if missing.empty:
        few = f"{len(used)} training runs; {LEAST_SEEDS} are needed."
        return few if len(used) < LEAST_SEEDS else ""
    reason = missing["note"].iloc[0]
    if used.empty:
        return f"{reason[0].upper()}{reason[1:]}."
    return f"Not measured in {len(missing)} of {len(part)} training runs: {reason}."


def model_differences(numbers: pd.DataFrame, first: str, second: str) -> pd.DataFrame:
    """Effects of two models beside each other, for the primary claims that both measured.

    ``difference`` is first minus second with a 95 % Welch t interval over training runs.
    """
    from scipy.stats import ttest_ind

    rows = []
    used = numbers[numbers["note"] == ""]
    for claim in (c for c in claims() if c.primary):
        here = used[used["id"] == claim.id]
        sides = [here[here["profile"] == name]["effect"] for name in (first, second)]
        if min(map(len, sides)) < LEAST_SEEDS:
            continue
        welch = ttest_ind(*sides, equal_var=False)
        ends = welch.confidence_interval(0.95)
        means = [side.mean() for side in sides]
        rows.append((claim.id, claim.claim, claim.unit, *means, means[0] - means[1], ends.low,
                     ends.high))  # fmt: skip
    columns = ["id", "claim", "unit", first, second, "difference", "low", "high"]
    return pd.DataFrame(rows, columns=columns)


def run_ledger(run: Run) -> pd.DataFrame:
    """The claims in one training run: numbers without intervals, since one run is one draw."""
    tables = of_run(run)
    numbers = pd.DataFrame([measure(tables, claim) for claim in claims()], columns=NUMBERS)
    words = pd.DataFrame([claim.model_dump(include=set(WORDS)) for claim in claims()])
    return words.merge(numbers.drop(columns=["profile", "seed"]), on="id")


def compute_claims(work: Workspace) -> None:
    """Stage ``claims``: table ``claims``, the ledger of the run (:func:`run_ledger`)."""
    work.table("claims", run_ledger(work.run))


def entries(table: pd.DataFrame) -> list[dict[str, Any]]:
    """One JSON-ready object per row of :func:`ledger`; missing numbers are null."""
    found = []
    for row in table.to_dict("records"):
        entry = {name: _plain(value) for name, value in row.items()}
        ends = [entry.pop(name) for name in ("low", "high")]
        entry["interval"] = None if None in ends else ends
        found.append(entry)
    return found


def _plain(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, 6) if math.isfinite(value) else None
    return value.item() if hasattr(value, "item") else value


__all__ = ["compute_claims", "entries", "judge", "ledger", "model_differences", "numbers_of",
           "run_ledger"]  # fmt: skip
