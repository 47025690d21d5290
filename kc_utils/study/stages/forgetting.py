"""Stage ``forgetting``: train on other facts with a share of the old ones replayed.

From the final checkpoint, training goes on with biographies of new people, or with conflicting
facts about known people. At replay ratio r each step holds r old blocks for each new one, at the
same number of blocks in all, so every ratio costs the same (paper, section 6.7). Whether a circuit
*returns* can only be said beside a run that goes on with the old texts alone ("drift").
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from torch import Tensor
from transformer_lens.model_bridge import TransformerBridge
from transformers import PreTrainedModel

from kc_utils import artifacts
from kc_utils.analysis.head_attribution import assign_roles, head_attribution, role_shares
from kc_utils.analysis.stats.intervals import bootstrap_mean
from kc_utils.analysis.topology import shape
from kc_utils.circuits.attribution import attribute
from kc_utils.circuits.bridge import boot_bridge
from kc_utils.circuits.circuit import top_n
from kc_utils.config import ATTRIBUTES, Config
from kc_utils.models.causal_lm import load_model, load_tokenizer
from kc_utils.runs.folder import Run
from kc_utils.runs.jobs import run_jobs
from kc_utils.runs.stage import Workspace
from kc_utils.study import imported_world
from kc_utils.study.stages import common
from kc_utils.training.accuracy import FirstTokens
from kc_utils.training.packing import BlockSteps, epoch_order, pack_blocks
from kc_utils.training.pretraining import train_in_memory
from kc_utils.training.trainer import fast_kernels
from kc_utils.world import (
    conflicting,
    make_biographies,
    make_new_people,
    make_validation,
)

_KEYS = ["variant", "ratio", "step"]
#: Training that goes on with the old texts alone: how far circuits move without anything new.
DRIFT = "drift"
ROLES = ("mover", "mixture", "relation")
_OF_CIRCUIT = ("entropy", "entropy_kept", "normalised_entropy_kept", "edge_jaccard")
_SHAPE = (*_OF_CIRCUIT, *ROLES)


def compute(work: Workspace) -> None:
    """Tables ``forgetting_people`` (a row per person and measurement) and ``forgetting``."""
    run, settings = work.run, work.config
    variants, ratios = settings.forgetting.variants, settings.forgetting.replay_ratios
    starts = {variant: work.parts / f"start-{variant}.parquet" for variant in (*variants, DRIFT)}
    missing = [(run, v, path) for v, path in starts.items() if not artifacts.intact(path)]
    run_jobs(measure_start, missing, "before forgetting")
    jobs = [
        (run, variant, ratio, starts[variant], work.parts / f"{variant}-{ratio!r}.parquet")
        for variant in (*variants, DRIFT)
        for ratio in (ratios if variant != DRIFT else (1.0,))
    ]
    run_jobs(forget, [j for j in jobs if not artifacts.intact(j[-1])], "forgetting")
    frame = pd.concat([artifacts.read_parquet(j[-1]) for j in jobs], ignore_index=True)
    people = frame.dropna(subset=["person_id"])[[*_KEYS, "facts", "person_id", "correct"]]
    work.table("forgetting_people", people.astype({"person_id": int}))
    work.table("forgetting", summary(frame, people, settings))


def summary(frame: pd.DataFrame, people: pd.DataFrame, settings: Config) -> pd.DataFrame:
    """One row per variant, ratio and step: accuracies with intervals, and means over the circuits.

    Of circuits: entropy (nats, over all edges), entropy_kept (over the circuit's),
    normalised_entropy_kept (by its maximum), edge_jaccard with the start, shares of head roles.
    """
    rows = []
    for keys, part in people.groupby(_KEYS, sort=True):
        row = dict(zip(_KEYS, keys, strict=True))
        for facts, values in part.groupby("facts"):
            mean = bootstrap_mean(
                values["correct"], n=settings.analysis.bootstrap, seed=settings.seed
            )
            row |= {
                f"accuracy_{facts}": mean.mean,
                f"{facts}_low": mean.low,
                f"{facts}_high": mean.high,
            }
        rows.append(row)
    shapes = frame.dropna(subset=["entropy"]).groupby(_KEYS, as_index=False)
    return pd.DataFrame(rows).merge(shapes[list(_SHAPE)].mean(), on=_KEYS)


def measure_start(run: Run, variant: str, out: Path) -> None:
    """Accuracy and circuits of the final checkpoint, the same for every replay ratio."""
    case = _Case(run, variant)
    model = case.load()
    with fast_kernels(model):
        frames = [case.accuracy(model), case.start_shape()]
    artifacts.write_piece(out, pd.concat(frames, ignore_index=True))


def forget(run: Run, variant: str, ratio: float, start: Path, out: Path) -> None:
    """Train one variant at one replay ratio, measuring on the way."""
    case = _Case(run, variant)
    settings = case.settings
    model = case.load()
    steps = mixed_steps(case.texts(), ratio, case.tokenizer, settings)

    def measure(step: int, current: PreTrainedModel) -> pd.DataFrame:
        if step == 0:
            frame = artifacts.read_parquet(start)
        else:
            frame = pd.concat([case.shape(current), case.accuracy(current)], ignore_index=True)
        return frame.assign(variant=variant, ratio=ratio, step=step)

    training = settings.training.model_copy(
        update={"learning_rate": settings.forgetting.learning_rate, "accumulation": 1}
    )
    frames = train_in_memory(
        model, steps, training, settings.seed, measure=measure,
        every=settings.forgetting.measure_every, description=f"{variant} r={ratio}",
    )  # fmt: skip
    artifacts.write_piece(out, pd.concat(frames, ignore_index=True))


def other_people(people: pd.DataFrame, variant: str, settings: Config) -> pd.DataFrame:
    """Whom training goes on about."""
    n, seed = settings.forgetting.n_people, settings.seed + 1
    pools = imported_world.pools(settings)
    if variant == DRIFT:
        return people
    if variant == "new_people":
        return make_new_people(
            n, set(people["name"]), seed, settings.world.mean_frequency, first_id=len(people),
            pools=pools,
        )  # fmt: skip
    chosen = np.random.default_rng([seed, 71]).permutation(len(people))[:n]
    return conflicting(people.iloc[np.sort(chosen)].reset_index(drop=True), seed, pools)


def mixed_steps(
    texts: dict[str, list[str]], ratio: float, tokenizer, settings: Config
) -> BlockSteps:
    """Batches of old and new blocks; see :func:`old_blocks` for how many are old."""
    size, n_steps = settings.forgetting.batch_size, settings.forgetting.steps
    n_old = old_blocks(size, ratio, n_steps)
    counts = {"old": n_old, "new": size - n_old}
    streams = {
        facts: _stream(tokenizer(texts[facts]).input_ids, int(n.sum()), tokenizer, settings)
        for facts, n in counts.items()
    }
    # The blocks of step i, of either kind, lie between these positions of its stream.
    ends = {facts: np.concatenate([[0], np.cumsum(n)]) for facts, n in counts.items()}
    steps = []
    for i in range(n_steps):
        parts = [
            tuple(array[ends[facts][i] : ends[facts][i + 1]] for array in streams[facts])
            for facts in ("old", "new")
        ]
        steps.append(tuple(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))
    return BlockSteps(steps)


def old_blocks(batch_size: int, ratio: float, n_steps: int) -> np.ndarray:
    """Old blocks in each step: on average batch_size r / (1 + r), fractions spread over steps."""
    share = ratio / (1 + ratio)
    total = np.floor(np.arange(n_steps + 1) * batch_size * share + 1e-9).astype(int)
    return np.diff(total)


def _stream(tokens: list[list[int]], n: int, tokenizer, settings: Config):
    """``n`` blocks from as many passes over the texts as that takes."""
    size = settings.training.block_size
    inputs, labels = np.zeros((0, size), np.int32), np.zeros((0, size), np.int32)
    epoch = 0
    while len(inputs) < n:
        order = epoch_order(len(tokens), settings.seed + 3, epoch)
        more = pack_blocks(tokens, size, tokenizer.eos_token_id, tokenizer.pad_token_id, order)
        inputs, labels = np.concatenate([inputs, more[0]]), np.concatenate([labels, more[1]])
        epoch += 1
    return inputs[:n], labels[:n]


def _validation(people: pd.DataFrame, templates: dict, settings: Config) -> pd.DataFrame:
    """Biographies of up to ``validation_people`` people in all."""
    chosen = common.asked_again(people, settings)
    texts = make_validation(chosen, templates, settings.seed + 4).assign(wording="trained")
    return texts.merge(chosen[["person_id", "kind", "band", *ATTRIBUTES]], on="person_id")


class _Case:
    """One variant: whom training goes on about, and how forgetting is measured."""

    def __init__(self, run: Run, variant: str) -> None:
        self.run, self.settings = run, run.config
        self.last = int(run.table("checkpoints")["step"].iloc[-1])
        self.path = run.verify(common.checkpoint_path(run, self.last))
        self.tokenizer = load_tokenizer(self.path)
        old = run.read(run.path / "data" / "people.parquet")
        self.new_people = other_people(old, variant, self.settings)
        split = imported_world.templates(self.settings)
        self.templates = {a: t.trained for a, t in split.items()}
        # Conflicting facts overwrite those of the same people, so these are the ones to ask about.
        if variant == "conflicting":
            old = old[old["person_id"].isin(self.new_people["person_id"])]
        asked = {"old": old} if variant == DRIFT else {"old": old, "new": self.new_people}
        self.questions = {
            facts: FirstTokens.find(
                self.tokenizer, _validation(people, self.templates, self.settings)
            )
            for facts, people in asked.items()
        }
        self.variant, self.n_edges = variant, common.circuit_size(run)
        self.graph = common.graph_of_run(run)
        scores = common.load_scores(run, self.last)
        task, band = run.config.circuit.tasks[0], run.config.circuit.bands[0]
        cells = [common.Cell(task, kind, band) for kind in run.config.world.kinds]
        pairs = common.read_pairs(run)
        self.batches = {c: common.batch_of(pairs, c, "discover") for c in cells}
        n_people = self.settings.analysis.lens_people
        self.held_out = {c: common.batch_of(pairs, c, "evaluate").slice(0, n_people) for c in cells}
        self.start_scores = {c: scores[c.name] for c in cells}

    def load(self) -> PreTrainedModel:
        """The model of the final checkpoint."""
        return load_model(self.path, attention="sdpa")

    def texts(self) -> dict[str, list[str]]:
        """Biographies to train on, about the old facts and about the new ones."""
        old = self.run.read(self.run.path / "data" / "biographies.parquet")
        if self.variant == DRIFT:
            return {"old": old["text"].tolist(), "new": old["text"].tolist()}
        new = make_biographies(self.new_people, self.templates, self.settings.seed + 2)
        return {"old": old["text"].tolist(), "new": new["text"].tolist()}

    def accuracy(self, model: PreTrainedModel) -> pd.DataFrame:
        """First-token accuracy of every person who is asked about: facts, person_id, correct."""
        frames = []
        for facts, questions in self.questions.items():
            correct = questions.accuracy(model)
            per_person = correct.groupby("person_id", as_index=False)["correct"].mean()
            frames.append(per_person.assign(facts=facts))
        return pd.concat(frames, ignore_index=True)

    def start_shape(self) -> pd.DataFrame:
        """Shape of the circuits of the final checkpoint, from the scores that it already has."""
        return self._shape(self.start_scores, boot_bridge(self.load(), self.tokenizer))

    def shape(self, model: PreTrainedModel) -> pd.DataFrame:
        """Entropies, edge Jaccard with the start and shares of head roles, of the circuits of the
        first task and band."""
        bridge = boot_bridge(model, self.tokenizer)
        how = common.attribution_settings(self.settings)
        return self._shape({c: attribute(bridge, b, how) for c, b in self.batches.items()}, bridge)

    def _shape(self, scores: dict[common.Cell, Tensor], bridge: TransformerBridge) -> pd.DataFrame:
        rows = []
        for cell, found in scores.items():
            before, now = (
                top_n(x, self.graph, self.n_edges) for x in (self.start_scores[cell], found)
            )
            heads = head_attribution(bridge, self.held_out[cell])
            roles = assign_roles(heads, self.settings.analysis.role_ratio)
            shares = role_shares(roles, now.nodes).set_index("role")["share"]
            measured = shape(found, now, before, None, self.settings.seed)
            rows.append(
                {"kind": cell.kind}
                | {name: measured[name] for name in _OF_CIRCUIT}
                | {role: shares[role] for role in ROLES}
            )
        return pd.DataFrame(rows)
