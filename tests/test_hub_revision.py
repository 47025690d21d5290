"""A model on the hub is taken at a commit that the configuration names, and at nothing else."""

from __future__ import annotations

import pytest
from transformers import AutoModelForCausalLM, AutoTokenizer

from kc_utils.cli.app import app
from kc_utils.cli.outcome import outcome
from kc_utils.config import profiles
from kc_utils.errors import KcError
from kc_utils.models.causal_lm import load_model
from kc_utils.models.tokenizers import load_tokenizer
from kc_utils.runs.folder import Run
from kc_utils.study.stages import STAGES

COMMIT = "0123456789abcdef0123456789abcdef01234567"
LOADS = [(load_model, AutoModelForCausalLM), (load_tokenizer, AutoTokenizer)]


@pytest.fixture
def asked(monkeypatch) -> list[dict]:
    """What transformers is asked for; it finds nothing."""
    calls: list[dict] = []

    def none(path: str, **options: object) -> None:
        calls.append({"path": path, **options})
        raise OSError("not found")

    for _, loader in LOADS:
        monkeypatch.setattr(loader, "from_pretrained", none)
    return calls


@pytest.mark.parametrize(("load", "loader"), LOADS)
@pytest.mark.parametrize("revision", [None, "main", "v1.0", COMMIT[:12], COMMIT.upper()])
def test_a_name_without_a_commit_is_refused_before_anything_is_fetched(
    load, loader, revision: str | None, asked: list[dict]
) -> None:
    with pytest.raises(KcError, match=r"'somebody/model' .* a commit of 40 hexadecimal digits"):
        load("somebody/model", revision=revision)
    assert asked == []


@pytest.mark.parametrize(("load", "loader"), LOADS)
def test_the_commit_is_what_is_asked_for(load, loader, asked: list[dict]) -> None:
    with pytest.raises(KcError, match="not found"):
        load("somebody/model", revision=COMMIT)
    assert [(call["path"], call["revision"]) for call in asked] == [("somebody/model", COMMIT)]


def test_a_commit_of_a_folder_has_no_effect_and_is_refused(tmp_path, asked: list[dict]) -> None:
    with pytest.raises(KcError, match=r"has no effect: .* is a local folder"):
        load_tokenizer(tmp_path, revision=COMMIT)
    with pytest.raises(KcError, match=r"model\.revision has no effect"):
        profiles.load("smoke", [f"model.revision={COMMIT}"])


def test_profiles_of_hub_models_name_commits_and_a_branch_is_none() -> None:
    hub = [
        name
        for name, p in profiles.PROFILES.items()
        if p.values.get("model", {}).get("source") == "hub"
    ]
    assert hub and all(profiles.load(name).model.revision for name in hub)
    with pytest.raises(KcError, match=r"model\.revision = 'main'"):
        profiles.load("gpt2", ["model.revision=main"])


def test_a_commit_belongs_to_one_model(tmp_path) -> None:
    def revision(*overrides: str) -> str | None:
        return profiles.load("gpt2", overrides).model.revision

    assert revision("model.path=gpt2-large") is None
    assert revision("model.path=gpt2-large", f"model.revision={COMMIT}") == COMMIT
    assert revision("model.source=folder", f"model.path={tmp_path}") is None
    assert revision("model.path=gpt2") == revision("training.epochs=3") == revision() is not None


def test_other_models_have_the_records_and_keys_they_had_and_a_commit_changes_them() -> None:
    assert "revision" not in profiles.load("smoke").model_dump()["model"]
    none, one = (profiles.load("gpt2", [f"model.revision={r}"]) for r in ("null", COMMIT))
    for stage in ("world", "base"):
        keys = {STAGES.key(settings, stage) for settings in (none, one, profiles.load("gpt2"))}
        assert len(keys) == 3


def test_a_run_from_before_is_read_and_a_new_one_without_commit_is_not_begun(
    tmp_path, capsys
) -> None:
    settings = profiles.load("gpt2", ["model.revision=null"])
    old = Run.create(tmp_path / "old", settings)
    assert Run.open(old.path).config == settings
    words = ["run", "--profile", "gpt2", "--no-notebooks", "--set", "model.revision=null"]
    code = outcome(lambda: app([*words, "--run-dir", str(tmp_path / "new")]))
    said = capsys.readouterr().err
    assert code == 2 and said.count("\n") == 1 and "with no revision" in said
    assert not (tmp_path / "new").exists()
