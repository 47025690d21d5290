"""Follow one strategy through its training: measure, decide, sum up."""

from __future__ import annotations

import numpy as np
import pandas as pd
from jaxtyping import Float
from torch import Tensor
from transformer_lens.model_bridge import TransformerBridge
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from kc_utils.anatomy import anatomy_of, graph_of
from kc_utils.bridge import boot_bridge
from kc_utils.chance import chance_level
from kc_utils.config import Config
from kc_utils.strategies.freezing import Freezer, trained_masks
from kc_utils.strategies.measuring import Asked
from kc_utils.strategies.online import OnlineSteps
from kc_utils.strategies.parts import circuit_parts, part_importance, random_parts
from kc_utils.strategies.plans import FixedPlan, SwitchPlan
from kc_utils.topology import entropy
from kc_utils.world import stream

PARTIAL = ("circuit", "random parts")
"""Strategies that train some heads and MLPs only, from the first measurement on."""


class Follower:
    """Measures a model in training for one strategy and tells its plan what it sees."""

    def __init__(
        self,
        strategy: str,
        plan: FixedPlan | SwitchPlan,
        asked: Asked,
        tokenizer: PreTrainedTokenizerBase,
        settings: Config,
    ) -> None:
        self.strategy, self.plan, self.asked = strategy, plan, asked
        self.tokenizer, self.settings = tokenizer, settings
        self.freezer = Freezer()
        self.trained_parameters = 0
        self._rows: list[dict[str, float]] = []
        self._new: list[pd.DataFrame] = []
        self._old: list[np.ndarray] = []

    def measure(self, step: int, model: PreTrainedModel) -> None:
        """Called by the training loop; accuracies are measured every ``measure_every`` steps."""
        chosen = self.settings.strategies
        bridge = boot_bridge(model, self.tokenizer)
        scores = self.asked.scores(bridge)
        now = entropy(scores, graph_of(bridge).real_edges)
        self.plan.observe(step, now)
        if step == 0:
            self.trained_parameters = sum(p.numel() for p in model.parameters())
        if self.strategy in PARTIAL and step == chosen.measure_every:
            self._freeze(model, bridge, scores)
        if step % chosen.measure_every and step != chosen.steps:
            return
        new = {w: self.asked.new_facts(model, self.tokenizer, w) for w in self.asked.new}
        old = self.asked.old_facts(model, self.tokenizer)
        self._new.append(new["trained"])
        self._old.append(old)
        self._rows.append(
            {
                "step": step,
                "new_accuracy": new["trained"]["correct"].mean(),
                "new_held_out": new["held_out"]["correct"].mean(),
                "old_accuracy": old.mean(),
                "entropy": now,
            }
        )

    def tables(self, read: OnlineSteps) -> dict[str, pd.DataFrame]:
        """The strategy's rows of the tables, by name: units, summary, steps."""
        steps = pd.DataFrame(self._rows)
        chosen, block_size = self.settings.strategies, self.settings.training.block_size
        people = pd.concat([_per_person(rows) for rows in self._new], axis=1).to_numpy()
        areas = np.trapezoid(people, steps["step"], axis=1) / chosen.steps
        changes = self._old[-1].astype(float) - self._old[0]
        first, last = steps.iloc[0], steps.iloc[-1]
        switch = getattr(self.plan, "switch", None)
        summary = {
            "area_new": areas.mean(),
            "last_new": last["new_accuracy"],
            "last_held_out": last["new_held_out"],
            "chance_new": chance_level(self._new[0])["chance"].mean(),
            "base_old": first["old_accuracy"],
            "change_old": changes.mean(),
            "switch_step": np.nan if switch is None else float(switch),
            "detected": bool(getattr(self.plan, "detected", False)),
            "trained_parameters": self.trained_parameters,
            "text_tokens": read.text_tokens,
        }
        units = [
            pd.DataFrame({"facts": facts, "unit": np.arange(len(values)), "value": values})
            for facts, values in (("new", areas), ("old", changes))
        ]
        steps.insert(1, "tokens", steps["step"] * chosen.batch_size * block_size)
        steps["replayed_blocks"] = [read.blocks(step)["base"] for step in steps["step"]]
        steps["n_people"], steps["n_queries"] = len(areas), len(changes)
        return {
            "units": pd.concat(units, ignore_index=True).astype({"value": "float32"}),
            "summary": pd.DataFrame([summary]),
            "steps": steps,
        }

    def _freeze(
        self,
        model: PreTrainedModel,
        bridge: TransformerBridge,
        scores: Float[Tensor, "n_forward n_backward"],
    ) -> None:
        """From here on only the circuit's parts are trained, or as many at random."""
        graph = graph_of(bridge)
        importance = part_importance(scores, graph)
        trained = circuit_parts(importance, graph, self.settings.strategies.trained_share)
        if self.strategy == "random parts":
            rng = stream(self.settings.seed, "strategy: random parts")
            trained = random_parts(trained, graph, rng)
        masks = trained_masks(model, anatomy_of(bridge), trained)
        self.trained_parameters = self.freezer.freeze(model, masks)


def _per_person(rows: pd.DataFrame) -> pd.Series:
    return rows.groupby("person_id")["correct"].mean()
