"""The explorer when something is missing or wrong: one sentence, and the rest works."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from explorer_case import PROMPT, html, look, sentences

from kc_utils.errors import KcError
from kc_utils.explorer.app import App
from kc_utils.explorer.state import State
from kc_utils.runs.record import read_record

pytestmark = pytest.mark.usefixtures("drawn_at_once")


@pytest.mark.parametrize(
    ("prompt", "words"),
    [("", "The prompt is empty"), ("   ", "The prompt is empty"),
     ("word " * 400, "tokens; this model reads at most 256.")],
)  # fmt: skip
def test_a_prompt_that_cannot_be_read_is_one_sentence(app: App, prompt: str, words: str) -> None:
    look(app, "Your prompt")
    app.controls.widgets["prompt"].value = prompt
    (said,) = sentences(app)  # once, although four views need the prompt
    assert words in said
    app.controls.widgets["prompt"].value = PROMPT
    assert sentences(app) == [] and all(html(app, view) for view in app.shown)


def test_characters_without_a_token_are_named() -> None:
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    from kc_utils.explorer.reading import token_ids

    for unk in ("[UNK]", None):
        vocabulary = {"[UNK]": 0, "a": 1, "b": 2}
        inner = Tokenizer(models.BPE(vocabulary, [], unk_token=unk))
        inner.pre_tokenizer = pre_tokenizers.Whitespace()
        tokenizer = PreTrainedTokenizerFast(tokenizer_object=inner, unk_token=unk)
        with pytest.raises(KcError, match=r"no token for '§', 'z'"):
            token_ids(tokenizer, "ab §a z§", 100)
        assert token_ids(tokenizer, "ab ba", 100) == [1, 2, 2, 1]


def test_a_missing_table_is_one_sentence_and_the_rest_works(own_run: Path) -> None:
    (own_run / "tables" / "head_roles.parquet").unlink()
    app = App(State(own_run, root=own_run.parent))
    look(app, "Heads")
    (said,) = sentences(app)
    assert "head_roles.parquet of stage" in said and "Traceback" not in said
    look(app, "Circuit")
    assert sentences(app) == []


def test_a_missing_checkpoint_is_one_sentence(own_run: Path) -> None:
    app = App(State(own_run, root=own_run.parent))
    step = app.state.data.values["step"][1]
    (own_run / "checkpoints" / f"step-{step:06d}" / "model.safetensors").unlink()
    look(app, "Your prompt")
    assert sentences(app) == []
    app.controls.widgets["step"].value = step
    (said,) = sentences(app)
    assert "model.safetensors" in said and "is missing" in said


def test_another_run_is_opened_and_a_broken_one_refused(own_run: Path, smoke_run: Path) -> None:
    app = App(State(own_run, root=own_run.parent))
    app.controls.widgets["task"].value = "company"
    app.state.root = smoke_run.parent
    (own_run / "tables" / "graph.parquet").write_bytes(b"no")
    app.controls.changed("run", smoke_run)
    assert app.state.data.run.path == smoke_run.resolve()
    assert app.state.choice.task == "company"
    app.controls.changed("run", own_run)
    assert "graph.parquet is damaged" in app.notice.value
    assert app.state.data.run.path == smoke_run.resolve()
    assert app.controls.widgets["run"].value == smoke_run.resolve()


def test_what_the_run_does_not_hold_is_refused_by_name(smoke_run: Path, tmp_path: Path) -> None:
    with pytest.raises(KcError, match=r"task = 'hobby' is not in run .*city, company"):
        State(smoke_run, task="hobby")
    with pytest.raises(KcError, match="holds no run"):
        State(tmp_path)
    record = read_record(smoke_run)
    (tmp_path / "run.json").write_text(json.dumps(record | {"stages": {}}))
    with pytest.raises(KcError, match=r"holds no circuits yet; 'kc run .*--to attribution'"):
        State(tmp_path)
