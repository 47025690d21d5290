"""The training run with its checkpoints, and the accuracies."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from kc_utils.analysis.knowledge import chance_level
from kc_utils.config import ModelConfig, TrainingConfig
from kc_utils.errors import KcError
from kc_utils.models.causal_lm import load_model, make_model
from kc_utils.models.tokenizers import load_tokenizer, train_bpe
from kc_utils.training.accuracy import first_token_accuracy, generate_answers
from kc_utils.training.packing import BlockSteps, pack_blocks, plan_epochs
from kc_utils.training.pretraining import read_result, train, train_in_memory

pytestmark = pytest.mark.slow

EOS, PAD = 0, 1
CITIES = ("Oslo", "Lima", "Kyiv", "Rome", "Cairo", "Paris", "Quito", "Seoul")
NAMES = [f"{a}{b}" for a in ("Mo", "Ta", "Zu", "Ke") for b in ("rin", "lop", "vas", "den")]
SMALL = ModelConfig(n_layers=2, n_heads=2, n_kv_heads=2, d_model=48, d_mlp=96, n_positions=64,
                    vocab_size=400)  # fmt: skip


# a toy world: first half of the people live in their own city, known from one sentence


@pytest.fixture(scope="module")
def world():
    rng = np.random.default_rng(0)
    cities = rng.choice(CITIES, len(NAMES))
    texts = [f"{n} lives in the city of {c}." for n, c in zip(NAMES, cities, strict=True)]
    tokenizer = train_bpe(texts, 400)
    validation = pd.DataFrame(
        {
            "person_id": np.arange(len(NAMES)),
            "kind": "K_rel",
            "band": "high",
            "text": texts,
            "city_start": [t.index(c) for t, c in zip(texts, cities, strict=True)],
        }
    )
    return tokenizer, validation, cities.tolist()


def _plan(texts, epochs, block):
    return plan_epochs(texts, epochs=epochs, block_size=block, eos_id=EOS, pad_id=PAD, seed=0)


SETTINGS = TrainingConfig(epochs=80, block_size=32, batch_size=2, learning_rate=3e-3)


@pytest.fixture(scope="module")
def trained(world, tmp_path_factory):
    tokenizer, validation, _ = world
    torch.set_num_threads(1)
    model = make_model(SMALL, tokenizer, 0)
    texts = tokenizer(validation["text"].tolist()).input_ids
    plan = _plan(texts, epochs=80, block=32)
    out_dir = tmp_path_factory.mktemp("run")
    result = train(model, tokenizer, plan, out_dir, SETTINGS, 0)
    return model, result, plan, out_dir


def test_a_trained_model_knows_and_an_untrained_one_is_at_chance(world, trained):
    tokenizer, validation, cities = world
    prompts = [t.split(" of ")[0] + " of" for t in validation["text"]]
    model = trained[0]
    rows = first_token_accuracy(model, tokenizer, validation, batch_size=5)
    assert rows["correct"].mean() == 1
    assert list(rows.columns[:3]) == ["person_id", "kind", "band"]
    assert rows["right_id"].tolist() == [tokenizer(f" {c}").input_ids[0] for c in cities]
    chance = chance_level(rows)["chance"].item()
    assert chance == pytest.approx(pd.Series(cities).value_counts(normalize=True).iloc[0])
    answers = generate_answers(model, tokenizer, prompts, cities)
    assert answers["correct"].all()
    fresh = make_model(SMALL, tokenizer, 1)
    assert first_token_accuracy(fresh, tokenizer, validation)["correct"].mean() <= chance
    assert generate_answers(fresh, tokenizer, prompts, cities)["correct"].mean() <= chance
    wrong = [CITIES[(CITIES.index(c) + 1) % len(CITIES)] for c in cities]
    assert not generate_answers(model, tokenizer, prompts, wrong)["correct"].any()


def test_accuracy_does_not_depend_on_batches_and_matches_the_full_logits(world):
    tokenizer, validation, _ = world
    model = make_model(SMALL, tokenizer, 3)
    table = validation.assign(
        text=[("Well, " * (i % 4)) + t for i, t in enumerate(validation.text)]
    )
    table["city_start"] += [6 * (i % 4) for i in range(len(table))]
    one = first_token_accuracy(model, tokenizer, table, batch_size=1)
    pd.testing.assert_frame_equal(one, first_token_accuracy(model, tokenizer, table, 7))
    for row, text, start in zip(one.itertuples(), table["text"], table["city_start"], strict=True):
        before = tokenizer(text[: start - 1]).input_ids
        logits = model(torch.tensor([before])).logits[0, -1]
        assert row.predicted_id == int(logits.argmax())


def test_an_answer_must_end_at_a_word():
    from kc_utils.training.accuracy import _starts_with

    assert _starts_with("Paris. Then", "Paris") and _starts_with("Paris", "Paris")
    assert not _starts_with("Parisian", "Paris") and not _starts_with("Pari", "Paris")


def test_unusable_validation_is_refused(world):
    tokenizer, validation, _ = world
    model = make_model(SMALL, tokenizer, 0)
    with pytest.raises(KcError, match="city_start"):
        first_token_accuracy(model, tokenizer, validation[["text"]])
    with pytest.raises(KcError, match="no token before it"):
        first_token_accuracy(model, tokenizer, validation.assign(city_start=0))
    with pytest.raises(KcError, match="training mode"):
        first_token_accuracy(make_model(SMALL, tokenizer, 0).train(), tokenizer, validation)
    with pytest.raises(KcError, match="2 prompts came with 1 answers"):
        generate_answers(model, tokenizer, ["a", "b"], ["c"])


# the run


def test_the_run_leaves_a_checkpoint_per_epoch_without_pickle(trained):
    model, result, _, out_dir = trained
    steps_per_epoch = len(result.losses) // 80
    assert result.checkpoints["step"].tolist() == [steps_per_epoch * e for e in range(81)]
    assert result.checkpoints["epoch"].tolist() == list(range(81))
    assert result.losses["step"].tolist() == list(range(1, len(result.losses) + 1))
    assert result.losses["loss"].iloc[-1] < 0.5 < result.losses["loss"].iloc[0]
    assert set(result.losses["learning_rate"]) == {3e-3}
    files = [f for f in Path(out_dir).rglob("*") if f.is_file()]
    assert {f.suffix for f in files} <= {".json", ".safetensors"}
    assert {f.parent.parent for f in files if f.parent.name == "resume"} == {result.final}
    assert len(list(Path(out_dir).glob("*/resume"))) == 1
    stored = load_model(result.final).state_dict()
    assert all(torch.equal(tensor, stored[name]) for name, tensor in model.state_dict().items())
    assert load_tokenizer(result.final).eos_token_id == EOS


def test_a_finished_run_returns_at_once_and_refuses_other_settings(world, trained):
    tokenizer, _, _ = world
    model, result, plan, out_dir = trained
    again = make_model(SMALL, tokenizer, 0)
    repeated = train(again, tokenizer, plan, out_dir, SETTINGS, 0)
    pd.testing.assert_frame_equal(repeated.losses, result.losses)
    assert torch.equal(again.lm_head.weight, model.lm_head.weight)
    for changed in ({"seed": 1}, {"training": SETTINGS.model_copy(update={"learning_rate": 1e-4})}):
        options = {"seed": 0, "training": SETTINGS} | changed
        with pytest.raises(KcError, match="holds a run with"):
            train(make_model(SMALL, tokenizer, 0), tokenizer, plan, out_dir, **options)
    with pytest.raises(KcError, match="start="):
        train(make_model(SMALL, tokenizer, 5), tokenizer, plan, out_dir, SETTINGS, 0)


def test_damaged_checkpoints_are_named(world, tmp_path):
    tokenizer, validation, _ = world
    plan = _plan(tokenizer(validation["text"].tolist()).input_ids, epochs=2, block=32)
    short = SETTINGS.model_copy(update={"epochs": 2})
    result = train(make_model(SMALL, tokenizer, 0), tokenizer, plan, tmp_path, short, 0)
    (tmp_path / ".tmp-step-000099").mkdir()
    weights = result.final / "model.safetensors"
    whole = weights.read_bytes()
    for damaged in (whole[:-100], whole[:-1] + bytes([whole[-1] ^ 1]), b""):
        weights.write_bytes(damaged)
        with pytest.raises(KcError, match=result.final.name):
            train(make_model(SMALL, tokenizer, 0), tokenizer, plan, tmp_path, short, 0)
    weights.unlink()
    with pytest.raises(KcError, match=r"model\.safetensors is missing"):
        read_result(tmp_path)
    weights.write_bytes(whole)
    train(make_model(SMALL, tokenizer, 0), tokenizer, plan, tmp_path, short, 0)
    assert not list(tmp_path.glob(".tmp-*"))
    with pytest.raises(KcError, match="no training run"):
        read_result(tmp_path / "nothing")


def test_accumulated_micro_batches_equal_one_large_batch(world, tmp_path):
    tokenizer, validation, _ = world
    plan = _plan(tokenizer(validation["text"].tolist()).input_ids, epochs=2, block=32)
    finals = []
    for batch, accumulation in ((6, 1), (2, 3)):
        values = {"batch_size": batch, "accumulation": accumulation, "learning_rate": 1e-4}
        model = make_model(SMALL, tokenizer, 0)
        train(model, tokenizer, plan, tmp_path / str(batch), SETTINGS.model_copy(update=values), 0)
        finals.append(model.state_dict())
    for name, tensor in finals[0].items():
        torch.testing.assert_close(tensor, finals[1][name], atol=2e-5, rtol=0)


def test_training_in_memory_measures_on_the_way(world, tmp_path):
    tokenizer, validation, _ = world
    blocks = pack_blocks(tokenizer(validation["text"].tolist()).input_ids, 32, EOS, PAD)
    state = torch.get_rng_state()

    def losses(noise):
        model = make_model(SMALL, tokenizer, 0)
        batch = torch.tensor(blocks[0]).long()

        def measure(step, m):
            assert not m.training
            if noise:
                torch.rand(3)
            with torch.no_grad():
                return step, float(m(batch, labels=batch).loss)

        return train_in_memory(
            model, BlockSteps([blocks] * 7), SETTINGS, 0, measure=measure, every=3
        )

    measured = losses(False)
    assert [step for step, _ in measured] == [0, 3, 6, 7]
    assert measured[-1][1] < measured[0][1]
    assert losses(True) == measured
    assert torch.equal(torch.get_rng_state(), state)
