"""The made-up world: people, what is written about them, and what a base model read before."""

from kc_utils.world.base_corpus import (
    base_relations,
    known_facts,
    known_queries,
    make_base_corpus,
)
from kc_utils.world.biographies import make_biographies, make_validation
from kc_utils.world.frequencies import bands, draw_frequencies, frequencies, thin
from kc_utils.world.people import (
    SPLITS,
    conflicting,
    make_known_names,
    make_new_people,
    make_people,
    require_bands,
)
from kc_utils.world.pools import (
    ATTRIBUTE_POOLS,
    POOLS,
    attribute_pool,
    draw,
    load_pool,
    redraw,
    stream,
    value_texts,
)
from kc_utils.world.templates import (
    OTHER_RELATIONS,
    WORDINGS,
    Relation,
    Templates,
    load_base_templates,
    load_relation,
    load_templates,
    query_prompt,
    split_all,
    split_templates,
)

__all__ = [
    "ATTRIBUTE_POOLS",
    "OTHER_RELATIONS",
    "POOLS",
    "SPLITS",
    "WORDINGS",
    "Relation",
    "Templates",
    "attribute_pool",
    "bands",
    "base_relations",
    "conflicting",
    "draw",
    "draw_frequencies",
    "frequencies",
    "known_facts",
    "known_queries",
    "load_base_templates",
    "load_pool",
    "load_relation",
    "load_templates",
    "make_base_corpus",
    "make_biographies",
    "make_known_names",
    "make_new_people",
    "make_people",
    "make_validation",
    "query_prompt",
    "redraw",
    "require_bands",
    "split_all",
    "split_templates",
    "stream",
    "thin",
    "value_texts",
]
