"""Stage ``world``: people, biographies, base corpus, validation texts and the tokenizer."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from transformers import PreTrainedTokenizerBase

from kc_utils import artifacts
from kc_utils.analysis.real_subjects import check_real_people
from kc_utils.config import ATTRIBUTES, Config, ModelConfig
from kc_utils.errors import KcError, shown, typed_path
from kc_utils.models.causal_lm import load_package_model, resolve_model
from kc_utils.models.devices import device
from kc_utils.models.tokenizers import load_tokenizer, save_tokenizer, train_bpe, with_bos
from kc_utils.runs.stage import Workspace
from kc_utils.study import given_base, imported_world
from kc_utils.world import (
    known_facts,
    make_base_corpus,
    make_biographies,
    make_known_names,
    make_people,
    make_validation,
    placed,
    real_people_facts,
    require_bands,
    value_texts,
    with_old_values,
)

#: How often each attribute value is read by the tokenizer, so that first tokens of answers differ.
_VALUE_REPEATS = 100


def known_names(settings: Config) -> Sequence[str] | None:
    """Names of the people that the base model knows; None for the shipped real people."""
    world = settings.world
    imported = imported_world.of(settings)
    if imported is not None:
        return imported.known_names
    given = given_base.facts(settings)
    if given is not None:
        return given["name"].tolist()
    if world.known_names_file:
        return read_names(Path(world.known_names_file))
    if settings.model.source == "made":
        return make_known_names(settings.base.n_known, settings.seed)
    return None


def read_names(path: Path) -> tuple[str, ...]:
    """A name on each line: empty lines are skipped, repeated names are an error. Or the table of a
    base corpus: everybody of whom it tells."""
    there = typed_path(path)
    if there.exists() and not there.is_file():  # a pipe or a device would be read for ever
        raise KcError(
            f"world.known_names_file = {shown(str(path))} is no regular file; allowed are a text "
            "file with a name on each line, and the table of a base corpus."
        )
    try:
        if path.suffix == ".parquet":
            return tuple(artifacts.read_parquet(there)["name"].unique())
        names = [line.strip() for line in there.read_text("utf-8").splitlines()]
    except (KcError, KeyError, OSError, ValueError) as error:
        reason = f"it has no column {error}" if isinstance(error, KeyError) else str(error)
        raise KcError(
            f"world.known_names_file = {shown(str(path))} cannot be read: {reason.rstrip('.')}."
        ) from None
    names = [name for name in names if name]
    repeated = pd.Index(names)[pd.Index(names).duplicated()]
    if len(repeated):
        raise KcError(
            f"world.known_names_file = {shown(str(path))} names {shown(repeated[0])} twice."
        )
    return tuple(names)


def world_people(settings: Config, known: Sequence[str] | None = None) -> pd.DataFrame:
    """The people of a configuration; an empty band is an error.

    ``known``: K_rel names, :func:`known_names` of the configuration by default.
    """
    made = settings.model.source == "made"
    given, imported = given_base.facts(settings), imported_world.of(settings)
    old = made and settings.base.relations != "other" and given is None
    if imported is not None:
        people = imported_world.people(imported, settings, old_values=old)
    else:
        known = known_names(settings) if known is None else known
        tokenizer = stored_tokenizer(settings.model) if settings.world.share_strange else None
        people = make_people(
            settings.world, settings.seed, known, old_values=old, tokenizer=tokenizer
        )
    if given is not None and settings.base.relations != "other":
        people = with_old_values(people, given, settings.seed)
    require_bands(people, settings.circuit.bands, settings.world.kinds)
    return people


def taught(settings: Config, people: pd.DataFrame) -> pd.DataFrame:
    """What base texts tell, or told the given base model: name, person_id (-1 if not in
    ``people``) and ten values of each known person."""
    given = given_base.facts(settings)
    if given is not None:
        return placed(given, people)
    return known_facts(known_names(settings) or (), people, settings.seed)


def trained_templates(settings: Config) -> dict[str, Sequence[str]]:
    """For each attribute the templates that training may use."""
    split = imported_world.templates(settings)
    return {attribute: split[attribute].trained for attribute in ATTRIBUTES}


def compute(work: Workspace) -> None:
    """``data/{people,biographies,validation,known_facts,base_corpus}.parquet``, ``tokenizer/``.

    Where K_rel are real people whom the model knows, it is asked about all real people here, and
    ``data/real_answers`` has a row per question, ``data/real_controls`` one per control.

    ``validation`` holds three texts of each checked person (column ``wording``): one that training
    reads ("read", what the paper measures), a new one in wordings that training uses ("trained")
    and one in wordings that it never shows ("held_out").
    """
    settings = work.config
    templates = imported_world.templates(settings)
    trained = {a: templates[a].trained for a in ATTRIBUTES}
    held_out = {a: templates[a].held_out for a in ATTRIBUTES}
    people = world_people(settings, _checked_names(work))
    imported = imported_world.of(settings)
    biographies = imported.table("biographies") if imported is not None else None
    if biographies is None:
        biographies = make_biographies(people, trained, settings.seed)
    checked = validation_people(people, settings.training.validation_people, settings.seed)
    read = biographies[biographies["person_id"].isin(checked["person_id"])]
    validation = pd.concat(
        [
            read[read["exposure"] == 0].assign(wording="read"),
            *(
                make_validation(checked, texts, settings.seed + 1).assign(wording=wording)
                for wording, texts in (("trained", trained), ("held_out", held_out))
            ),
        ]
    ).merge(people[["person_id", "kind", "band", *ATTRIBUTES]], on="person_id")
    work.data("people", people)
    work.data("biographies", biographies)
    work.data("validation", validation)
    folder = work.folder("tokenizer")
    if settings.model.source == "made":
        base, names, facts = settings.base, known_names(settings), taught(settings, people)
        corpus = make_base_corpus(
            names,
            people,
            relations=base.relations,
            texts_per_person=base.texts_per_person,
            sentences_per_text=base.sentences_per_text,
            facts=facts,
            seed=settings.seed,
        )
        work.data("known_facts", facts)
        work.data("base_corpus", corpus)
        given = given_base.folder(settings)
        if given is None:
            texts = [
                *corpus["text"],
                *biographies["text"],
                *value_texts(_VALUE_REPEATS, imported_world.pools(settings)),
            ]
            tokenizer = train_bpe(texts, settings.model.vocab_size, bos=settings.circuit.bos)
        else:
            tokenizer = load_tokenizer(given)
    else:
        tokenizer = stored_tokenizer(settings.model)
        tokenizer = with_bos(tokenizer) if settings.circuit.bos else tokenizer
    save_tokenizer(tokenizer, folder)


def _checked_names(work: Workspace) -> list[str] | None:
    """Real people whom the model knows, after asking it; None where nobody has to be asked."""
    if work.config.world.known_names != "checked":
        return None
    model, tokenizer = resolve_model(work.config.model)
    facts, seed = real_people_facts(), work.config.seed
    found = check_real_people(model.to(device()), tokenizer, facts, seed=seed)
    work.data("real_answers", found.questions)
    work.data("real_controls", found.controls)
    return found.people.loc[found.people["known"], "name"].tolist()


def stored_tokenizer(model: ModelConfig) -> PreTrainedTokenizerBase:
    """The tokenizer that belongs to a model that exists already."""
    if model.source == "package":
        return load_package_model(str(model.path))[1]
    return load_tokenizer(str(model.path), revision=model.revision)


def validation_people(people: pd.DataFrame, per_kind: int, seed: int) -> pd.DataFrame:
    """Up to ``per_kind`` people of each type, drawn so that every band is there in its share."""
    rng = np.random.default_rng([seed, 17])
    chosen = []
    for kind in people["kind"].unique():
        rows = np.flatnonzero(people["kind"].to_numpy() == kind)
        chosen.append(rng.permutation(rows)[:per_kind])
    return people.iloc[np.sort(np.concatenate(chosen))].reset_index(drop=True)
