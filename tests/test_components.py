"""Direct logit attribution adds up and agrees with interventions; the lens ends at the model."""

import numpy as np
import pandas as pd
import pytest
import torch
from transformer_lens.tools.analysis import direct_logit_attribution
from transformer_lens.tools.analysis import logit_lens as reference_lens
from transformers import (
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    PhiConfig,
    PhiForCausalLM,
)

from kc_utils.analysis.head_attribution import (
    PARTS,
    assign_roles,
    component_attribution,
    head_attribution,
    role_shares,
    source_attribution,
)
from kc_utils.analysis.logit_lens import logit_lens
from kc_utils.circuits.bridge import boot_bridge
from kc_utils.circuits.pair_batch import PairBatch
from kc_utils.errors import KcError
from kc_utils.models.tokenizers import train_bpe

VOCAB = 300
SHAPES = ("gpt2", "llama", "phi")
SIZE = {"vocab_size": VOCAB, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}
LONG = {**SIZE, "intermediate_size": 48, "max_position_embeddings": 32}


def make_model(shape):
    """A random model whose biases and norms are not at their defaults."""
    torch.manual_seed(0)
    if shape == "gpt2":
        config = GPT2Config(vocab_size=VOCAB, n_embd=32, n_layer=2, n_head=4, n_positions=32)
        model = GPT2LMHeadModel(config)
    elif shape == "llama":
        model = LlamaForCausalLM(LlamaConfig(**LONG, num_key_value_heads=2))
    else:
        model = PhiForCausalLM(PhiConfig(**LONG))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            is_norm = parameter.ndim == 1 and name.endswith("weight")
            parameter.normal_(std=0.3).add_(1.0 if is_norm else 0.0)
    return model.eval()


@pytest.fixture(scope="module")
def tokenizer():
    return train_bpe(["Ada Bo Cole lives in the city of Bonn. Dora Em Fox works for Acme."], VOCAB)


@pytest.fixture(scope="module")
def bridges(tokenizer):
    return {shape: boot_bridge(make_model(shape), tokenizer) for shape in SHAPES}


@pytest.fixture(scope="module")
def batch():
    """Seven pairs of three lengths; subjects of two or three tokens, not always at the start."""
    rng = np.random.default_rng(0)
    lengths = (6, 9, 7, 9, 6, 7, 9)
    draw = lambda: [rng.integers(5, VOCAB, size=n).tolist() for n in lengths]  # noqa: E731
    answers = rng.permutation(np.arange(5, VOCAB))[:14].tolist()
    start = [0, 1, 0, 2, 1, 0, 3]
    stop = [2, 4, 3, 4, 3, 2, 6]
    return PairBatch.from_lists(draw(), draw(), answers[:7], answers[7:], start, stop)


def last_logits(bridge, batch):
    with torch.no_grad():
        logits = bridge(batch.clean_ids, return_type="logits")
    return logits[torch.arange(len(batch)), batch.last]


def metric(bridge, batch, direction):
    logits = last_logits(bridge, batch)
    right = logits.gather(1, batch.right_ids[:, None])[:, 0]
    wrong = logits.gather(1, batch.wrong_ids[:, None])[:, 0]
    return right - wrong if direction == "difference" else right


@pytest.mark.parametrize("direction", ["difference", "right"])
@pytest.mark.parametrize("shape", SHAPES)
def test_contributions_of_all_components_add_up_to_the_metric(bridges, batch, shape, direction):
    bridge = bridges[shape]
    table = component_attribution(bridge, batch, direction=direction, batch_size=3)
    expected = float(metric(bridge, batch, direction).mean())
    assert table["value"].sum() == pytest.approx(expected, abs=1e-4)
    heads = head_attribution(bridge, batch, direction=direction, batch_size=3)
    ours = table[table["component"] == "head"].set_index(["layer", "head"])["value"]
    theirs = heads.set_index(["layer", "head"])["total"]
    np.testing.assert_allclose(theirs, ours.loc[theirs.index], atol=1e-5)
    assert ours.abs().max() > 0.01
    without_a_head = table.drop(table[table["component"] == "head"].index[0])
    assert without_a_head["value"].sum() != pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("shape", SHAPES)
def test_subject_part_is_what_vanishes_when_the_subject_values_are_removed(bridges, batch, shape):
    """Zero one head's values at the subject's tokens and see what it no longer writes."""
    bridge = bridges[shape]
    layer, head = 1, 2
    position = torch.arange(batch.clean_ids.shape[1])[None]
    subject = (position >= batch.subject_start[:, None]) & (position < batch.subject_stop[:, None])
    written, final = {}, {}

    def remove(values, hook):
        cut = values.clone().unflatten(-1, (4, -1)) if values.ndim == 3 else values.clone()
        cut[:, :, head][subject] = 0
        return cut.reshape(values.shape)

    def run(name, *hooks):
        def keep_output(tensor, hook):
            written[name] = tensor

        def keep_final(tensor, hook):
            final[name] = tensor

        keep = [(f"blocks.{layer}.attn.o.hook_out", keep_output), ("ln_final.hook_in", keep_final)]
        with torch.no_grad():
            bridge.run_with_hooks(batch.clean_ids, fwd_hooks=[*hooks, *keep])

    run("clean")
    run("cut", (f"blocks.{layer}.attn.v.hook_out", remove))
    rows = torch.arange(len(batch))
    lost = (written["clean"] - written["cut"])[rows, batch.last]
    stream = final["clean"][rows, batch.last]
    if shape != "llama":
        lost = lost - lost.mean(-1, keepdim=True)
        stream = stream - stream.mean(-1, keepdim=True)
    lost = lost / stream.square().mean(-1, keepdim=True).add(bridge.cfg.eps).sqrt()
    weight = bridge.ln_final.original_component.weight
    towards = (bridge.W_U[:, batch.right_ids] - bridge.W_U[:, batch.wrong_ids]).T * weight
    ours = source_attribution(bridge, batch)[:, layer, head, PARTS.index("subject")]
    torch.testing.assert_close(ours, (lost * towards).sum(-1), atol=1e-4, rtol=1e-4)
    assert ours.abs().max() > 0.01


@pytest.mark.parametrize("shape", ["gpt2", "llama"])
def test_heads_agree_with_transformer_lens(batch, tokenizer, shape):
    ours = source_attribution(boot_bridge(make_model(shape), tokenizer), batch).sum(-1)
    folded = boot_bridge(make_model(shape), tokenizer)
    folded.enable_compatibility_mode(disable_warnings=True, fold_value_biases=False)
    for i in range(3):
        result = direct_logit_attribution(
            folded,
            batch.clean_ids[i : i + 1, : batch.last[i] + 1],
            batch.right_ids[i : i + 1],
            batch.wrong_ids[i : i + 1],
            unit="head",
        )
        expected = result.attribution.reshape(len(result.labels))[:8]
        assert result.labels[:8] == [f"L{x}H{y}" for x in range(2) for y in range(4)]
        torch.testing.assert_close(ours[i].flatten(), expected, atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("shape", SHAPES)
def test_parts_do_not_depend_on_batches_or_padding(bridges, batch, shape):
    whole = source_attribution(bridges[shape], batch)
    single = source_attribution(bridges[shape], batch, batch_size=1)
    torch.testing.assert_close(whole, single, atol=1e-4, rtol=1e-4)
    assert whole.shape == (len(batch), 2, 4, len(PARTS))


def test_bos_is_neither_subject_nor_relation(batch, tokenizer):
    bridge = boot_bridge(make_model("llama"), tokenizer)
    clean = [
        [0, *row[: last + 1].tolist()]
        for row, last in zip(batch.clean_ids, batch.last, strict=True)
    ]
    shifted = PairBatch.from_lists(
        clean,
        clean,
        batch.right_ids.tolist(),
        batch.wrong_ids.tolist(),
        (batch.subject_start + 1).tolist(),
        (batch.subject_stop + 1).tolist(),
    )
    bridge.tokenizer.bos_token = "<|endoftext|>"
    assert bridge.tokenizer.bos_token_id == 0
    aware = source_attribution(bridge, shifted)
    assert (aware[..., 2].abs().amax((1, 2)) > 1e-4).all()
    assert (source_attribution(bridge, batch)[..., 2] == 0).all()
    bridge.tokenizer.bos_token = "<|pad|>"
    unaware = source_attribution(bridge, shifted)
    assert (unaware[..., 2] == 0).all()
    torch.testing.assert_close(aware[..., 0], unaware[..., 0])
    torch.testing.assert_close(aware[..., 1] + aware[..., 2], unaware[..., 1])


def built_model():
    """Uniform attention: head 0 reads the subject, 1 the relation, 2 both, 3 nothing."""
    config = GPT2Config(
        vocab_size=VOCAB, n_embd=32, n_layer=1, n_head=4, n_positions=16, tie_word_embeddings=False
    )
    torch.manual_seed(0)
    model = GPT2LMHeadModel(config).eval()
    with torch.no_grad():
        for parameter in model.transformer.h.parameters():
            parameter.zero_()
        model.transformer.h[0].ln_1.weight.fill_(1)
        model.transformer.wpe.weight.zero_()
        model.transformer.wte.weight.zero_()
        model.transformer.wte.weight[:100, 0], model.transformer.wte.weight[:100, 1] = 1, -1
        model.transformer.wte.weight[100:, 2], model.transformer.wte.weight[100:, 3] = 1, -1
        attention = model.transformer.h[0].attn
        for head, read in enumerate(([0], [2], [0, 2], [])):
            attention.c_attn.weight[read, 64 + 8 * head] = 1
            attention.c_proj.weight[8 * head, 4] = 1
    return model


def test_roles_of_a_model_built_to_have_them(tokenizer):
    bridge = boot_bridge(built_model(), tokenizer)
    clean = [[10 + i, 20 + i, 110, 111, 112] for i in range(4)]
    answers = (list(range(200, 204)), list(range(210, 214)))
    batch = PairBatch.from_lists(clean, clean, *answers, [0] * 4, [2] * 4)
    roles = assign_roles(head_attribution(bridge, batch), 10.0)
    assert roles["role"].tolist() == ["mover", "relation", "mixture", "mixture"]
    assert roles["ratio"][2] == pytest.approx(2 / 3, rel=1e-3)
    assert np.isnan(roles["ratio"][3])
    swapped = PairBatch.from_lists(clean, clean, *answers, [2] * 4, [5] * 4)
    roles = assign_roles(head_attribution(bridge, swapped), 10.0)
    assert roles["role"].tolist() == ["relation", "mover", "mixture", "mixture"]


def test_role_shares_of_a_circuit_beside_those_of_the_model():
    heads = pd.DataFrame(
        {
            "layer": [0, 0, 1, 1],
            "head": [0, 1, 0, 1],
            "subject_abs": [1.0, 0.01, 1.0, 11.0],
            "relation_abs": [1.0, 1.0, 0.0, 1.0],
        }
    )
    roles = assign_roles(heads, 10.0)
    assert roles["role"].tolist() == ["mixture", "relation", "mover", "mover"]
    shares = role_shares(roles, ("input", "a0.h1", "a1.h0", "a1.h1", "m1")).set_index("role")
    assert shares["count"].to_dict() == {"mover": 2, "mixture": 0, "relation": 1}
    assert shares.loc["mover", "share"] == pytest.approx(2 / 3)
    assert shares["expected"].to_dict() == {"mover": 0.5, "mixture": 0.25, "relation": 0.25}
    assert shares.loc["mover", "mean_layer"] == 1
    assert role_shares(roles, ()).set_index("role")["share"].isna().all()
    assert role_shares(roles)["share"].tolist() == role_shares(roles)["expected"].tolist()
    with pytest.raises(KcError, match="role_ratio=1"):
        assign_roles(heads, 1.0)


@pytest.mark.parametrize("shape", SHAPES)
def test_lens_ends_at_the_models_own_output(bridges, batch, shape):
    table = logit_lens(bridges[shape], batch, batch_size=3)
    assert len(table) == len(batch) * 3 * 2
    last = table.query("position == 'last' and layer == 2").set_index("pair")
    logits = last_logits(bridges[shape], batch)
    right = logits.gather(1, batch.right_ids[:, None])
    probability = logits.softmax(-1).gather(1, batch.right_ids[:, None])[:, 0]
    assert last["rank"].tolist() == (1 + (logits > right).sum(1)).tolist()
    np.testing.assert_allclose(last["probability"], probability.numpy(), rtol=1e-3)
    earlier = table.query("position == 'last' and layer == 0").set_index("pair")
    assert earlier["rank"].tolist() != last["rank"].tolist()


@pytest.mark.parametrize("shape", SHAPES)
def test_lens_agrees_with_transformer_lens_at_every_layer(bridges, batch, shape):
    table = logit_lens(bridges[shape], batch).set_index(["pair", "position"])
    for i in range(4):
        ids = batch.clean_ids[i : i + 1, : batch.last[i] + 1]
        target = int(batch.right_ids[i])
        result = reference_lens(
            bridges[shape], ids, targets=target, return_type="probs", positions=None
        )
        ranks = result.readout.target_ranks.reshape(3, -1) + 1
        inside = slice(int(batch.subject_start[i]), int(batch.subject_stop[i]))
        assert table.loc[(i, "last"), "rank"].tolist() == ranks[:, -1].tolist()
        best = ranks[:, inside].min(1).values
        assert table.loc[(i, "subject"), "rank"].tolist() == best.tolist()
        probability = result.readout.values.reshape(3, -1)[:, inside].max(1).values
        np.testing.assert_allclose(
            table.loc[(i, "subject"), "probability"], probability.numpy(), rtol=1e-3
        )


def test_lens_of_the_wrong_answer_is_another_one(bridges, batch):
    right = logit_lens(bridges["gpt2"], batch)
    wrong = logit_lens(bridges["gpt2"], batch, target="wrong")
    assert right.columns.tolist() == ["pair", "layer", "position", "rank", "probability"]
    assert right["rank"].tolist() != wrong["rank"].tolist()
    assert right["rank"].between(1, VOCAB).all()


def test_mistakes_are_named(bridges, batch):
    bridge = bridges["gpt2"]
    with pytest.raises(KcError, match="'left'"):
        logit_lens(bridge, batch, target="left")
    with pytest.raises(KcError, match="0 pairs"):
        logit_lens(bridge, batch.slice(0, 0))
    with pytest.raises(KcError, match="0 pairs"):
        head_attribution(bridge, batch.slice(0, 0))
    with pytest.raises(KcError, match="'up'"):
        head_attribution(bridge, batch, direction="up")
    bridge.train()
    try:
        with pytest.raises(KcError, match="training mode"):
            head_attribution(bridge, batch)
    finally:
        bridge.eval()
