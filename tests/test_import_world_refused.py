"""The paper's own data as a world: what is refused, by file and line, and with which settings."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from published_clone import ENTITIES, make_clone, with_world

from kc_utils.cli.world_commands import import_world as command
from kc_utils.config import profiles
from kc_utils.errors import KcError
from kc_utils.study.imported_world import import_world
from kc_utils.study.pipeline import check
from kc_utils.study.stages.world import world_people
from kc_utils.sweep import plan


def line_of(file: str, number: int, **changes: object):
    """A change of fields in one line (from 1) of a file; None takes the field away."""

    def change(folder: Path) -> None:
        path = folder / file
        lines = path.read_text().splitlines()
        row = json.loads(lines[number - 1]) | changes
        lines[number - 1] = json.dumps({k: v for k, v in row.items() if v is not None})
        path.write_text("\n".join(lines))

    return change


def text_of(file: str, text: str | None):
    """A file with other text, or without the file."""

    def change(folder: Path) -> None:
        path = folder / file
        path.unlink() if text is None else path.write_text(text)

    return change


NEW, CIRCUIT = f"{ENTITIES}/new.jsonl", f"{ENTITIES}/circuit_4/toy-model/city.jsonl"
REFUSED = {
    "no JSON": (text_of(NEW, "version 1\n"), r"new\.jsonl, line 1: 'version 1' is no JSON"),
    "no object": (text_of(NEW, '["Ann"]\n'), r"new\.jsonl, line 1: .*\['Ann'\]"),
    "missing field": (line_of(NEW, 3, city=None), r"new\.jsonl, line 3: city"),
    "frequency": (line_of(NEW, 2, frequency="0"), r"line 2: frequency = '0'"),
    "nobody": (text_of(NEW, None), r"entities_72/new\.jsonl cannot be read"),
    "template": (
        text_of("data/templates/city.jsonl", '"{full_name} lives here."\n'),
        r"templates/city\.jsonl, line 1: .* is no template; allowed .*\{city\} once",
    ),
    "no space": (
        text_of("data/templates/city.jsonl", '"{full_name} (of {city}/{city})."\n'),
        r"templates/city\.jsonl, line 1: .* is no template",
    ),
    "names": (
        text_of("data/selection_pool/first_name.json", '{"Ann": 1}'),
        r"first_name\.json holds .* allowed is a JSON list of texts",
    ),
    "stranger": (
        line_of(f"{ENTITIES}/train.jsonl", 6, full_name="No Body"),
        r"train\.jsonl, line 6: 'No Body' is nobody in new\.jsonl",
    ),
    "text": (
        line_of(f"{ENTITIES}/train.jsonl", 6, text="Nothing."),
        r"train\.jsonl, line 6 says of 'Abo Ux Zorn'",
    ),
    "asked": (
        line_of(f"{ENTITIES}/test.jsonl", 2, company="Elsewhere"),
        r"test\.jsonl, line 2 says of",
    ),
    "label": (
        line_of(CIRCUIT, 3, clean_label=" Atlantis"),
        r"toy-model/city\.jsonl, line 3 says of",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_clone_that_is_wrong_is_refused_by_file_and_line(case: str, tmp_path: Path) -> None:
    clone = make_clone(tmp_path / "clone")
    change, words = REFUSED[case]
    change(clone)
    with pytest.raises(KcError, match=words) as refusal:
        import_world(clone, tmp_path / "worlds" / "paper")
    assert str(refusal.value).endswith(".") and "\n" not in str(refusal.value)
    assert not (tmp_path / "worlds").exists(), "nothing half written"


def test_a_text_too_many_is_refused(tmp_path: Path) -> None:
    clone = make_clone(tmp_path / "clone")
    path = clone / ENTITIES / "train.jsonl"
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines, lines[-1]]))
    with pytest.raises(KcError, match=r"train\.jsonl has 2 biographies of .* frequency is 1"):
        import_world(clone, tmp_path / "world")


def test_no_clone_two_sizes_and_an_existing_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(KcError, match=r"has 0 folders data/entities_<N>"):
        import_world(tmp_path, tmp_path / "world")
    clone, world = make_clone(tmp_path / "clone"), tmp_path / "world"
    import_world(clone, world)
    before = (world / "world.json").read_bytes()
    with pytest.raises(KcError, match="exists already and is not overwritten"):
        command(clone, world)
    assert (world / "world.json").read_bytes() == before
    (clone / "data" / "entities_9").mkdir()
    (clone / "data" / "entities_9" / "revised.jsonl").touch()
    with pytest.raises(KcError, match=r"has 2 folders data/entities_<N>.*entities_72, entities_9"):
        import_world(clone, tmp_path / "other")


def test_a_damaged_world_is_refused(tmp_path: Path) -> None:
    import_world(make_clone(tmp_path / "clone"), tmp_path / "world")
    (tmp_path / "world" / "people.parquet").write_bytes(b"")
    with pytest.raises(KcError, match=r"people\.parquet is damaged"):
        world_people(with_world(tmp_path / "world"))
    with pytest.raises(KcError, match=r"world\.imported = .*nowhere.* is no imported world"):
        check(with_world(tmp_path / "nowhere"))


def test_settings_that_an_imported_world_decides_are_refused(tmp_path: Path) -> None:
    world = tmp_path / "world"
    import_world(make_clone(tmp_path / "clone"), world)
    with pytest.raises(KcError, match=r"world\.known_names has no effect with world\.imported"):
        with_world(world, "world.known_names=real")
    with pytest.raises(KcError, match="imported goes with known_names_file=null"):
        with_world(world, "world.known_names_file=names.txt")
    with pytest.raises(KcError, match=r"base\.given = 'shipped' does not go with world\.imported"):
        check(profiles.load("tiny", [f"world.imported={world}"]))
    with pytest.raises(KcError, match="needs --no-experiments"):
        plan.plan(["smoke"], [0], [f"world.imported={world}"], tmp_path, experiments_for=["smoke"])
