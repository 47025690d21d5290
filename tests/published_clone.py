"""A made-up clone of the paper's repository: the form of its files, nothing of what they hold."""

from __future__ import annotations

import json
from pathlib import Path

from kc_utils.config import Config, profiles

ENTITIES = "data/entities_72"
MONTHS = ("January", "May")
POOLS = {
    "first_name": ["Abo", "Bex", "Cid", "Dov", "Eri", "Fyn", "Gus", "Hal"],
    "middle_name": ["Ux", "Vy", "Wo"],
    "last_name": ["Zorn", "Yale", "Xant", "Wick"],
    "birth_date": ["1", "2", "30"],
    "birth_month": list(MONTHS),
    "birth_year": ["1950", "1951"],
    "city": ["Bel, QQ", "Dorr, QQ", "Fenn, QR", "Gale, QR"],
    "major": ["Law", "Optics", "Weaving"],
    "university": ["School of Law", "Upper College", "Lower College"],
    "company": ["Acme", "Bolt & Sons", "Crane"],
}
FIELDS = {"birth": "birthday", "city": "city", "company": "company", "major": "major",
          "university": "university"}  # fmt: skip
TEMPLATES = {
    stem: [
        f"{{full_name}} has {field} {{{field}}}.",
        f"As to {{{field}}}, it is what {{full_name}} has.",
        f"The {field} of {{full_name}} is {{{field}}} indeed.",
    ]
    for stem, field in FIELDS.items()
}


def person(name: str, kind: str, frequency: int, i: int) -> dict[str, str]:
    """One line of an entities file."""
    day, month, year = POOLS["birth_date"][i % 3], MONTHS[i % 2], POOLS["birth_year"][i // 2 % 2]
    return {
        "full_name": name,
        "birth_date": day,
        "birth_month": month,
        "birth_year": year,
        **{n: POOLS[n][(i * 7 + i // 3) % len(POOLS[n])] for n in ("city", "major")},
        **{n: POOLS[n][(i * 5 + i // 4) % len(POOLS[n])] for n in ("university", "company")},
        "birthday": f"{day} {month}, {year}",
        "frequency": str(frequency),
        "type": kind,
    }


def text_of(who: dict[str, str], i: int) -> str:
    """A biography with a sentence per attribute, in an order that depends on ``i``."""
    lines = [
        texts[(i + k) % len(texts)].format(**who) for k, texts in enumerate(TEMPLATES.values())
    ]
    return " ".join(lines[i % 5 :] + lines[: i % 5])


def everybody() -> dict[str, list[dict[str, str]]]:
    """Twelve people of each type in each band."""
    found: dict[str, list[dict[str, str]]] = {"revised": [], "new": []}
    frequencies = [f for f in (7, 3, 1) for _ in range(12)]
    for i, frequency in enumerate(frequencies):
        first, last = POOLS["first_name"], POOLS["last_name"]
        known = f"{first[i % 8]} {last[i // 8 % 4]}{i // 32 or ''}"
        fresh = f"{first[i % 8]} {POOLS['middle_name'][i // 8 % 3]} {last[i // 24]}"
        found["revised"].append(person(known, "revised", frequency, i))
        found["new"].append(person(fresh, "new", frequency, i + 1))
    return found


def write_lines(path: Path, rows: list) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def make_clone(folder: Path, *, texts: bool = True, queries: bool = True) -> Path:
    """Write the clone; without ``texts`` or ``queries`` as if their scripts had not been run."""
    people, entities = everybody(), folder / ENTITIES
    for kind, rows in people.items():
        write_lines(entities / f"{kind}.jsonl", rows)
    for name, values in POOLS.items():
        path = folder / "data" / "selection_pool" / f"{name}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(values, indent=4), encoding="utf-8")
    for stem, lines in TEMPLATES.items():
        write_lines(folder / "data" / "templates" / f"{stem}.jsonl", lines)
    everyone = people["new"] + people["revised"]
    if texts:
        rows = [
            {"text": text_of(who, i + 3 * k), **who}
            for i, who in enumerate(everyone)
            for k in range(int(who["frequency"]))
        ]
        write_lines(entities / "train.jsonl", rows)
    if queries:
        asked = [who for i, who in enumerate(everyone) if i % 2]
        write_lines(entities / "test.jsonl", asked)
        pairs = [
            {
                "clean_subject": a["full_name"], "clean_label": f" {a['city']}",
                "clean_label_idx": 1, "corrupted_subject": b["full_name"],
                "corrupted_label": f" {b['city']}", "corrupted_label_idx": 2,
                "frequency": a["frequency"], "type": a["type"],
            }
            for a, b in zip(asked, asked[1:] + asked[:1], strict=True)
        ]  # fmt: skip
        write_lines(entities / "circuit_4" / "toy-model" / "city.jsonl", pairs)
    return folder


def with_world(world: Path, *overrides: str) -> Config:
    """Profile smoke with everybody of an imported world."""
    return profiles.load("smoke", [f"world.imported={world}", "world.n_people=72", *overrides])
