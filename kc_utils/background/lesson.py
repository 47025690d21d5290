"""The lesson of a background chapter: a model, a pair of prompts, circuits under every ablation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import torch
from transformer_lens.model_bridge import TransformerBridge

from kc_utils.circuits import ABLATIONS, evaluate_circuit
from kc_utils.circuits.ablation import MeanOutputs, references
from kc_utils.circuits.adapter import Adapter, adapter_of
from kc_utils.circuits.circuit import Circuit
from kc_utils.circuits.metrics import rank
from kc_utils.circuits.pair_batch import PairBatch
from kc_utils.errors import KcError
from kc_utils.runs.folder import Run
from kc_utils.runs.parameters import choose_task
from kc_utils.study.running_example import running_example
from kc_utils.study.stages import STAGES, common

MOST_PEOPLE = 200


@dataclass(frozen=True)
class Lesson:
    """The last checkpoint of a run, its pairs for one task, and the pair that was chosen.

    ``pairs``: one row per person, the running example first, then those whose clean and corrupted
    prompt the model both answers with the right token; there are ``n_known`` of them, of ``band``.
    ``chosen`` is the chosen row, ``batch`` the same as tensors. ``epoch`` is that of the
    checkpoint.
    """

    run: Run
    bridge: TransformerBridge
    pairs: pd.DataFrame
    n_known: int
    chosen: pd.Series
    batch: PairBatch
    band: str
    epoch: float

    @property
    def adapter(self) -> Adapter:
        """The plain model under the bridge, taken apart."""
        return adapter_of(self.bridge)

    @property
    def known(self) -> bool:
        """Whether the model answers both prompts of the chosen pair with the right token."""
        return bool(self.chosen["known"])

    @property
    def tokens(self) -> list[str]:
        """The clean prompt's tokens as text."""
        return self.texts(self.batch.clean_ids[0].tolist())

    def texts(self, ids: list[int]) -> list[str]:
        """Each token's text, without the blank in front of a word."""
        return [self.bridge.tokenizer.decode([i]).strip() or "␣" for i in ids]

    def split(self, name: str, most: int) -> PairBatch:
        """Up to ``most`` pairs about the people who ``discover`` or ``evaluate``, known first."""
        return PairBatch.from_frame(self.pairs[self.pairs["split"] == name].head(most))

    def prompts(self) -> pd.DataFrame:
        """Clean and corrupted prompt of the pair, with the right answer of each."""
        row = self.chosen
        rows = [
            ("clean", row["clean"], row["right"]),
            ("corrupted", row["corrupted"], row["wrong"]),
        ]
        return pd.DataFrame(rows, columns=["prompt", "text", "answer"])


def open_lesson(run_dir: str | Path, task: str, pair: int) -> Lesson:
    """Open a run's last checkpoint and choose a pair of prompts that it answers correctly.

    Pairs are those of the run's first (most frequent) band in the trained wording, one per person:
    the running example, then the others in the order in which the run stored them, known ones
    first. ``pair`` counts in that order from 0.

    Raises:
        KcError: a task that the run does not study, or a ``pair`` outside of the table.
    """
    run = Run.open(run_dir)
    task = choose_task(run, task)
    for stage in ("prompts", "training"):
        STAGES.ensure(run, stage)
    band = run.config.circuit.bands[0]
    last = run.table("checkpoints").iloc[-1]
    bridge = common.open_bridge(run, int(last["step"]))
    pairs = common.read_pairs(run).query("task == @task and band == @band and wording == 'trained'")
    pairs = pd.concat([running_example(run, task).pair, pairs])
    pairs = pairs.drop_duplicates("person_id").head(MOST_PEOPLE).reset_index(drop=True)
    pairs["known"] = _known(bridge, PairBatch.from_frame(pairs))
    others = pairs.iloc[1:].sort_values("known", ascending=False, kind="stable")
    pairs = pd.concat([pairs.iloc[:1], others], ignore_index=True)
    if type(pair) is not int or pair not in range(len(pairs)):  # True and 1.0 are in a range, too
        raise KcError(f"pair = {pair!r} is not one of the {len(pairs)} pairs; count from 0.")
    chosen = pairs.iloc[[pair]]
    return Lesson(
        run, bridge, pairs, int(pairs["known"].sum()), chosen.iloc[0],
        PairBatch.from_frame(chosen), band, float(last["epoch"]),
    )  # fmt: skip


def _known(bridge: TransformerBridge, batch: PairBatch) -> list[bool]:
    """Whether the largest logit is the right answer's, in the clean and the corrupted run."""
    refs = references(bridge, batch)
    clean = rank(refs.clean_logits[:, -1], batch.right_ids.to(refs.clean_logits.device))
    other = rank(refs.corrupted_logits[:, -1], batch.wrong_ids.to(refs.clean_logits.device))
    return torch.logical_and(clean == 0, other == 0).tolist()


def under_every_ablation(
    bridge: TransformerBridge,
    batch: PairBatch,
    circuits: Mapping[str, Circuit],
    means: MeanOutputs,
) -> pd.DataFrame:
    """One row per circuit and ablation: circuit, edges (number), ablation, logit_diff (mean, in
    logits), faithfulness (share; nan where clean and corrupted run do not differ)."""
    refs = references(bridge, batch)
    rows = []
    for name, circuit in circuits.items():
        for ablation in ABLATIONS:
            found = evaluate_circuit(bridge, batch, circuit, ablation, means, refs=refs)
            measured = float(found.logit_diff.mean())
            rows.append((name, circuit.n_edges, ablation, measured, found.faithfulness))
    return pd.DataFrame(
        rows, columns=["circuit", "edges", "ablation", "logit_diff", "faithfulness"]
    )
