"""A sweep on one base model: all seeds get it, and what cannot be shared is refused."""

from __future__ import annotations

import json
import os
import shutil
import threading
from pathlib import Path

import pandas as pd
import pytest
from conftest import kc
from small_runs import SETTINGS

from kc_utils.errors import KcError
from kc_utils.models.causal_lm import load_model
from kc_utils.runs.folder import Run
from kc_utils.runs.record import read_record
from kc_utils.study.stages import STAGES
from kc_utils.study.stages.world import read_names, world_people
from kc_utils.sweep import plan
from kc_utils.training.checkpoints import weights_hash

SMALL = [value for value in SETTINGS if not value.startswith("base.")]


def members(base: Path, out: Path, names=("smoke",), seeds=(3, 4), overrides=SMALL, **more):
    return plan.plan(list(names), seeds, list(overrides), out, base_of=base, **more)


def test_seeds_share_the_base_model_and_the_people_it_knows(smoke_run, tmp_path) -> None:
    base = Run.open(smoke_run)
    corpus = base.read(base.path / "data" / "base_corpus.parquet")
    known = set(corpus["name"])
    assert read_names(base.path / "data" / "base_corpus.parquet") == tuple(corpus["name"].unique())
    found = members(smoke_run, tmp_path)
    peoples = [world_people(member.settings) for member in found]
    for member, people in zip(found, peoples, strict=True):
        assert member.settings.base == base.config.base
        assert member.settings.model.path == str(base.path / "base" / "model")
        old = people["kind"] == "K_rel"
        assert set(people.loc[old, "name"]) <= known
        assert not set(people.loc[~old, "name"]) & known
    assert not peoples[0]["name"].equals(peoples[1]["name"])  # all else is the seed's own
    (own,) = plan.plan(["smoke"], [3], SMALL, tmp_path)
    assert not set(world_people(own.settings)["name"]) & known
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_shared_is_refused(smoke_run, tmp_path) -> None:
    def refused(words: str, **more) -> None:
        with pytest.raises(KcError, match=words):
            members(**({"base": smoke_run, "out": tmp_path / "out"} | more))

    refused("goes with one profile, and this sweep has smoke, tiny", names=["smoke", "tiny"])
    refused("a run of profile smoke, and this sweep is of tiny", names=["tiny"])
    refused("needs --no-experiments", experiments_for=["smoke"])
    refused("--set model.n_layers=3 has no effect", overrides=["model.n_layers=3"])
    refused("--set base.passes=3 has no effect", overrides=[*SMALL, "base.passes=3"])
    refused("--set world.known_names=real has no effect", overrides=["world.known_names=real"])
    refused("60 is below the 900 K_rel people", overrides=["world.n_people=1800"])

    record = read_record(smoke_run)
    other = tmp_path / "other"
    other.mkdir()
    shutil.copytree(smoke_run / "base", other / "base")
    (other / "run.json").write_text(json.dumps(record))
    (other / "base" / "model" / "model.safetensors").write_bytes(b"nonsense")
    refused("damaged|changed", base=other)
    del record["stages"]["base"]
    (other / "run.json").write_text(json.dumps(record))
    refused("--to base' finishes it", base=other)
    record["config"]["model"] |= {"source": "folder", "path": str(other / "base" / "model")}
    (other / "run.json").write_text(json.dumps(record))
    refused("made no base model", base=other)
    assert not (tmp_path / "out").exists()


def test_a_table_without_names_is_refused(tmp_path) -> None:
    path = tmp_path / "texts.parquet"
    pd.DataFrame({"text": ["A text."]}).to_parquet(path)
    with pytest.raises(KcError, match=r"known_names_file = '.*' cannot be read: .* column 'name'"):
        read_names(path)
    with pytest.raises(KcError, match=r"known_names_file = '.*' cannot be read: .* is missing"):
        read_names(tmp_path / "none.parquet")


def test_names_are_read_from_regular_files_only(tmp_path) -> None:
    os.mkfifo(tmp_path / "pipe")  # reading it would never end
    for path in (tmp_path / "pipe", tmp_path):
        said: list[str] = []

        def read(path: Path = path, said: list[str] = said) -> None:
            try:
                read_names(path)
            except KcError as error:
                said.append(str(error))

        reader = threading.Thread(target=read, daemon=True)
        reader.start()
        reader.join(timeout=30)
        assert said and "is no regular file; allowed are a text file" in said[0]


@pytest.mark.slow
def test_a_sweep_on_one_base_trains_each_seed_from_its_weights(smoke_run, tmp_path) -> None:
    options = [part for value in SMALL for part in ("--set", value)]
    line = ("sweep", "--profile", "smoke", "--seed-list", "3,4", "--no-experiments", *options)
    kc(*line, "--to", "attribution", "--out", tmp_path, "--base-of", smoke_run)
    runs = [Run.open(tmp_path / "smoke" / f"seed-{seed}") for seed in (3, 4)]
    shared = weights_hash(load_model(smoke_run / "base" / "model"))
    firsts, lasts = [], []
    for run in runs:
        assert STAGES.done(run, "attribution")
        steps = sorted(p.name for p in (run.path / "checkpoints").glob("step-*"))
        first, last = (load_model(run.path / "checkpoints" / s) for s in (steps[0], steps[-1]))
        firsts.append(weights_hash(first))
        lasts.append(weights_hash(last))
        assert run.table("base_loss").empty
    assert firsts == [shared, shared]
    assert len({shared, *lasts}) == 3
