"""What is measured on the way: new facts, old facts, and the circuit of one relation."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float
from torch import Tensor
from transformer_lens.model_bridge import TransformerBridge
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from kc_utils.anatomy import anatomy_of
from kc_utils.attribution import AttributionSettings, attribute
from kc_utils.errors import KcError
from kc_utils.prompt_batch import PairBatch
from kc_utils.prompts import Query, make_queries
from kc_utils.training.accuracy import first_token_accuracy, generate_answers

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
        return attribute(bridge, self.pairs.to(anatomy_of(bridge).device), self.how)


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
