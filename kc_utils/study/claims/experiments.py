"""Measures of the experiments on exposures and on training strategies."""

from __future__ import annotations

from kc_utils.analysis.stats import decay
from kc_utils.analysis.stats.resample import NotMeasured
from kc_utils.study.claims.measured import Measured, against
from kc_utils.study.claims.tables import RunTables
from kc_utils.study.experiments.exposure.gain import PEAK, SHOWN, tail


def _gain(run: RunTables, group: str, wording: str, since: str = "peak", least: float = 0.0):
    """Gain (nats) of a group ``since`` steps after its last exposure, drift taken off."""
    table = run.table("exposure")
    chosen = (table["group"] == group) & (table["wording"] == wording) & (table["since"] >= PEAK)
    table = table[chosen].sort_values("since")
    found = float(table["gain"].iloc[0 if since == "peak" else -1])
    if found < least:
        raise NotMeasured(f"the gain of group '{group}' is {found:.2f} nats; {least:g} is needed")
    return found


def exposure_gain(run: RunTables) -> Measured:
    """Log-probability (nats) gained by one exposure, wording never shown, beside people never
    shown (taken off)."""
    table = run.table("exposure").query("wording == 'held_out'")
    table = table.sort_values("since")
    never = table[table["group"] == "never"].set_index("since")["log_prob"]
    gained = _gain(run, "once", "held_out")
    drift = float(never.loc[PEAK] - never.loc[never.index < 0].iloc[-1])
    return Measured(gained + drift, drift, gained)


def exposure_lost(run: RunTables, first: str, second: str, wording: str, least: float) -> Measured:
    """Share (%) of the gain lost from the peak to the end, two groups beside each other."""
    peaks = [_gain(run, group, wording, least=least) for group in (first, second)]
    ends = [_gain(run, group, wording, "end") for group in (first, second)]
    return against(*(100 * (1 - end / peak) for end, peak in zip(ends, peaks, strict=True)))


def retained(run: RunTables, first: str, second: str, wording: str) -> Measured:
    """Gain (nats) at the end, two groups beside each other."""
    return against(*(_gain(run, group, wording, "end") for group in (first, second)))


def power_law(run: RunTables, least: float) -> Measured:
    """BIC of an exponential decay beside that of a power law, mean over the exposed groups."""
    values = []
    for group in SHOWN:
        _gain(run, group, "trained", least=least)
        curve = run.table("exposure")
        curve = curve[(curve["group"] == group) & (curve["wording"] == "trained")]
        curve = curve.sort_values("since")
        times, gains = tail(curve["since"].to_numpy(float), curve["gain"].to_numpy(float))
        if len(times) < decay.MIN_POINTS:
            raise NotMeasured(f"only {len(times)} delays were measured after the peak")
        laws = decay.compare(times, gains)
        values.append((laws["exponential"].bic, laws["power"].bic))
    return against(*(sum(side) / len(side) for side in zip(*values, strict=True)))


def strategy(run: RunTables, name: str, control: str, column: str, learned: float) -> Measured:
    """A strategy beside its control at equal tokens and replayed blocks, in % of answers.

    ``column`` "area_new" is mean accuracy on new facts over the budget, "change_old" the change on
    old ones.
    """
    table = run.table("strategies_summary").set_index("strategy")
    replay = table.loc["replay"]
    gained = float(replay["last_new"] - replay["chance_new"])
    if gained < learned:
        raise NotMeasured(f"replay ends {gained:.2f} above chance; {learned:g} is needed")
    if not {name, control} <= set(table.index):
        raise NotMeasured(f"the strategy '{name}' or its control '{control}' was not run")
    return against(*(100 * float(table.loc[who, column]) for who in (name, control)))
