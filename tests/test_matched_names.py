"""Three kinds of people whose names are equally long in tokens."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from transformers import PreTrainedTokenizerBase

from kc_utils.config import KINDS, STRANGE, WorldConfig, profiles
from kc_utils.errors import KcError
from kc_utils.models.tokenizers import train_bpe, with_bos
from kc_utils.study.stages.common import cells
from kc_utils.world import load_pool, make_known_names, make_people, matched_names
from kc_utils.world.prompts import make_pairs

THREE = WorldConfig(n_people=90, share_known=1 / 3, share_strange=1 / 3, mean_frequency=3.5)


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerBase:
    """Common names first, then words that nobody is called: late merges, so rare tokens."""
    words = ["Quorv Zylk", "Vexor Brumt", "Plonq Drasp", "Xanth Grebl", "Wolpf Skrin"]
    return train_bpe([*make_known_names(3_000, 1), *(words * 30), *load_pool("real_people")], 3_000)


@pytest.fixture(scope="module")
def people(tokenizer) -> pd.DataFrame:
    return make_people(THREE, 3, load_pool("real_people"), tokenizer=tokenizer)


@pytest.mark.slow
def test_each_kind_has_as_many_people_read_about_as_often(people) -> None:
    assert people["kind"].value_counts().to_dict() == dict.fromkeys((*KINDS, STRANGE), 30)
    read = people.groupby("kind")["frequency"].agg(sorted).tolist()
    assert read[0] == read[1] == read[2]


def test_names_of_all_kinds_have_the_same_lengths(people, tokenizer) -> None:
    lengths = matched_names.name_lengths(tokenizer, people["name"].tolist())
    of_kind = people.assign(length=lengths).groupby("kind")["length"].agg(sorted).tolist()
    assert of_kind[0] == of_kind[1] == of_kind[2] and people["name"].is_unique
    free = make_people(WorldConfig(n_people=90, share_known=0.5), 3, load_pool("real_people"))
    lengths = matched_names.name_lengths(tokenizer, free["name"].tolist())
    of_kind = free.assign(length=lengths).groupby("kind")["length"].agg(sorted).tolist()
    assert of_kind[0] != of_kind[1]  # without a tokenizer nothing matches them


def test_known_names_of_the_commonest_length_come_first(tokenizer) -> None:
    names = list(load_pool("real_people"))
    lengths = matched_names.name_lengths(tokenizer, names)
    rng = np.random.default_rng(0)
    chosen = matched_names.of_common_length(names, lengths, 5, rng)
    commonest = pd.Series(lengths).value_counts().index[0]
    assert set(matched_names.name_lengths(tokenizer, chosen)) == {commonest}
    assert len(set(matched_names.of_common_length(names, lengths, len(names), rng))) == len(names)


def test_strange_names_are_of_rare_tokens_and_familiar_ones_of_common_parts(
    people, tokenizer
) -> None:
    names = people.groupby("kind")["name"].agg(list)
    common = {part for pool in ("first_names", "middle_names", "last_names")
              for part in load_pool(pool)}  # fmt: skip
    first, following = map(set, matched_names.rare_pieces(tokenizer))
    for name in names[STRANGE]:
        for word in name.split():
            assert word not in common
            assert word in first or any(
                word.startswith(a) and word[len(a) :] in following for a in first
            )
    assert {part for name in names["K_compl"] for part in name.split()} <= common


def test_every_kind_has_circuits(people, tokenizer) -> None:
    pairs = make_pairs(people, tokenizer, tasks=["city"], bands=["low"], kinds=THREE.kinds,
                       n_pairs=4, min_fellows=0, seed=0)  # fmt: skip
    assert set(pairs["kind"]) == {*KINDS, STRANGE}
    assert {cell.kind for cell in cells(profiles.load("smollm2"))} == {*KINDS, STRANGE}
    assert {cell.kind for cell in cells(profiles.load("tiny"))} == {*KINDS}


@pytest.mark.slow
def test_what_cannot_be_had_is_refused(tokenizer) -> None:
    with pytest.raises(KcError, match="99 at the start"):
        matched_names.familiar_names([(99, 99)], (), tokenizer, np.random.default_rng(0))
    with pytest.raises(KcError, match="no rare ones"):
        matched_names.strange_names([(3, 3)], (), train_bpe(["a"], 300), np.random.default_rng(0))
    with pytest.raises(KcError, match=r"share_strange=0\.5 needs a model that exists"):
        profiles.load("smoke", ["world.share_strange=0.5"])
    with pytest.raises(KcError, match="known_names=checked needs a model that exists"):
        profiles.load("smoke", ["world.known_names=checked"])
    with pytest.raises(KcError, match="more than 1"):
        profiles.load("smollm2", ["world.share_strange=0.8"])


def test_a_models_own_first_token_stands_in_front_of_every_text() -> None:
    with_one, without = train_bpe(["Ada lives"], 300, bos=True), train_bpe(["Ada lives"], 300)
    assert with_bos(with_one) is with_one and with_bos(without) is without
    without.add_special_tokens({"bos_token": "<s>"})
    added = with_bos(without)
    plain = without("Ada lives")["input_ids"]
    assert added("Ada lives")["input_ids"] == [without.bos_token_id, *plain]
    assert plain[0] != without.bos_token_id
    assert added("Ada lives", add_special_tokens=False)["input_ids"] == plain
