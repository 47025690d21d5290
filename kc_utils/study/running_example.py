"""The running example: one person and one question that all chapters come back to."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from kc_utils.circuits.pair_batch import PairBatch
from kc_utils.runs.folder import Run
from kc_utils.runs.parameters import choose_task
from kc_utils.study.stages import STAGES, common


@dataclass(frozen=True)
class RunningExample:
    """One pair of prompts of a run.

    ``pair``: its row of the run's pairs, as a table of one row. ``name`` is that of the clean
    prompt's person. ``known``: whether the last checkpoint answers both prompts (False as long as
    nothing is trained).
    """

    pair: pd.DataFrame
    name: str
    known: bool

    @property
    def row(self) -> pd.Series:
        """The pair as a row: clean, corrupted, right, wrong, person_id and so on."""
        return self.pair.iloc[0]

    @property
    def cell(self) -> common.Cell:
        """The cell whose circuit answers this question."""
        return common.Cell(*self.row[["task", "kind", "band"]])

    @property
    def batch(self) -> PairBatch:
        """The pair as tensors."""
        return PairBatch.from_frame(self.pair)


def running_example(run: Run, task: str) -> RunningExample:
    """The first held-out person of the run whose question about ``task`` the model answers.

    Pairs are those of evaluate people in the run's first (most frequent) band and the trained
    wording, in the order in which the run stored them, the first of each person. Of these it takes
    the first whose two people the last checkpoint gives their whole answers; among equals somebody
    who is asked again while the model forgets. Where there is none, or nothing is trained yet, the
    first.

    Raises:
        KcError: a task that the run does not study.
    """
    task = choose_task(run, task)
    STAGES.ensure(run, "prompts")
    people, stored = run.read(run.path / "data" / "people.parquet"), common.read_pairs(run)
    cells = [
        common.Cell(task, kind, run.config.circuit.bands[0]) for kind in run.config.world.kinds
    ]
    pairs = pd.concat([common.select(stored, cell, "evaluate") for cell in cells])
    pairs = pairs.drop_duplicates("person_id", ignore_index=True)
    known = pd.Series(False, index=pairs.index)
    if STAGES.done(run, "training"):
        answers = run.table("query_answers").query("attribute == @task and wording == 'trained'")
        right = set(answers.loc[answers["correct"], "person_id"])
        known = pairs["person_id"].isin(right) & pairs["corrupted_person_id"].isin(right)
    again = pairs["person_id"].isin(common.asked_again(people, run.config)["person_id"])
    first = (2 * known + again).idxmax()
    chosen = pairs.loc[[first]]
    names = people.set_index("person_id")["name"]
    return RunningExample(chosen, names[chosen["person_id"].iloc[0]], bool(known[first]))


def ranks_in_circuits(run: Run, example: RunningExample, ablation: str) -> pd.DataFrame:
    """The rank of the example's right answer at every checkpoint, 1 for the top of the vocabulary.

    Args:
        run: has the stage ``circuit``.
        example: the running example of one of its tasks.
        ablation: what edges outside of a circuit carry.

    Returns:
        One row per checkpoint, by epoch: epoch, whole_model, circuit (the discovered one of the
        example's cell, alone) and random (mean over the random circuits of its size).
    """
    asked, keys = run.table("circuit_pairs"), [*example.cell._fields, "pair_id", "person_id"]
    asked = asked[(asked[keys] == example.row[keys].to_numpy()).all(axis=1)]
    asked = asked.query("split == 'evaluate' and wording == 'trained' and ablation == @ablation")
    asked = asked.assign(circuit=asked["circuit"].where(asked["circuit"] == "own", "random"))
    ranks = asked.pivot_table(index="epoch", columns="circuit", values="rank")
    whole = asked.groupby("epoch")["clean_rank"].first()
    return pd.DataFrame(
        {"whole_model": whole, "circuit": ranks["own"], "random": ranks["random"]}
    ).reset_index()


def head_roles(run: Run, cell: common.Cell) -> pd.DataFrame | None:
    """node and role of every head for the facts of ``cell``, at the last checkpoint.

    None as long as the run has no roles (stage ``components``).
    """
    if not STAGES.done(run, "components"):
        return None
    roles = run.table("head_roles")
    roles = roles[(roles["step"] == roles["step"].max())]
    roles = roles[(roles[list(cell._fields)] == list(cell)).all(axis=1)]
    names = [f"a{row.layer}.h{row.head}" for row in roles.itertuples()]
    return pd.DataFrame({"node": names, "role": roles["role"].to_numpy()})
