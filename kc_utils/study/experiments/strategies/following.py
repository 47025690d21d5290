"""Follow one strategy through its training: measure, decide, sum up.

What is measured on the way: new facts, old facts, and the circuit of one relation.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float
from torch import Tensor
from transformer_lens.model_bridge import TransformerBridge
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from kc_utils.analysis.knowledge import chance_level
from kc_utils.analysis.topology import entropy
from kc_utils.circuits.adapter import adapter_of, graph_of
from kc_utils.circuits.attribution import AttributionSettings, attribute
from kc_utils.circuits.bridge import boot_bridge
from kc_utils.circuits.circuit import top_n
from kc_utils.circuits.pair_batch import PairBatch
from kc_utils.config import Config
from kc_utils.errors import KcError
from kc_utils.study.experiments.strategies.freezing import (
    Freezer,
    circuit_parts,
    part_importance,
    random_parts,
    trained_masks,
)
from kc_utils.study.experiments.strategies.plans import FixedPlan, OnlineSteps, SwitchPlan
from kc_utils.training.accuracy import first_token_accuracy, generate_answers
from kc_utils.world import stream
from kc_utils.world.prompts import Query, make_queries

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
        graph = graph_of(bridge)
        kept = top_n(scores, graph, n_kept(self.settings, graph.n_edges)).edges
        now = entropy(scores, kept) if kept.sum() > 1 else 0.0  # pruning may leave nothing
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
                "entropy": entropy(scores, graph.real_edges),
                "entropy_kept": now,
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
        masks = trained_masks(model, adapter_of(bridge), trained)
        self.trained_parameters = self.freezer.freeze(model, masks)


def n_kept(settings: Config, n_edges: int) -> int:
    """Edges that the followed circuit keeps: as configured, or the most that a circuit may have.

    The rule of stage ``size`` needs the last checkpoint, which nobody has while training goes on.
    """
    chosen = settings.circuit
    most = chosen.top_n or max(1, int(chosen.most_edges * n_edges))
    return min(most, n_edges)


def _per_person(rows: pd.DataFrame) -> pd.Series:
    return rows.groupby("person_id")["correct"].mean()


TASK = "city"
"""The relation whose circuit is followed."""


@dataclass(frozen=True)
class Asked:
    """What is asked at every measurement; the same for all strategies.

    ``new`` holds biographies of the new people by wording, ``old`` the columns prompt and answer,
    ``pairs`` the prompts that circuits are found on.
    """

    new: dict[str, pd.DataFrame]
    old: pd.DataFrame
    pairs: PairBatch
    how: AttributionSettings

    def new_facts(
        self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, wording: str
    ) -> pd.DataFrame:
        """Rows of :func:`~kc_utils.training.accuracy.first_token_accuracy` on the new people."""
        return first_token_accuracy(model, tokenizer, self.new[wording])

    def old_facts(
        self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase
    ) -> Bool[np.ndarray, " n_queries"]:
        """Which questions about old facts are answered with the whole value."""
        rows = generate_answers(model, tokenizer, self.old["prompt"], self.old["answer"])
        return rows["correct"].to_numpy(dtype=bool)

    def scores(self, bridge: TransformerBridge) -> Float[Tensor, "n_forward n_backward"]:
        """Edge scores of the circuit."""
        return attribute(bridge, self.pairs.to(adapter_of(bridge).device), self.how)


def pairs_of(
    people: pd.DataFrame, tokenizer: PreTrainedTokenizerBase, n_pairs: int, seed: int
) -> PairBatch:
    """Up to ``n_pairs`` clean and corrupted prompts about ``people``, all bands together.

    As in stage ``prompts``, the two names of a pair have as many tokens and the answers differ in
    their first token.

    Raises:
        KcError: no two people can be paired.
    """
    queries = make_queries(people, TASK, "trained", tokenizer)
    groups: dict[tuple[int, tuple[int, int]], list[Query]] = defaultdict(list)
    rng = np.random.default_rng([seed, 83])
    for query in (queries[i] for i in rng.permutation(len(queries))):
        groups[len(query.ids), query.subject].append(query)
    found = [
        (clean, corrupted)
        for group in groups.values()
        for clean, corrupted in zip(group, group[1:] + group[:1], strict=True)
        if clean.answer_id != corrupted.answer_id
    ]
    if not found:
        raise KcError(
            f"strategies.people = {len(people)} gives no two people whose names have as many "
            "tokens and whose answers differ; allowed are larger numbers."
        )
    chosen = [found[i] for i in rng.permutation(len(found))[:n_pairs]]
    return PairBatch.from_lists(
        [clean.ids for clean, _ in chosen],
        [corrupted.ids for _, corrupted in chosen],
        [clean.answer_id for clean, _ in chosen],
        [corrupted.answer_id for _, corrupted in chosen],
    )
