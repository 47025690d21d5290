"""From a Hugging Face model to a TransformerBridge whose heads can be told apart.

TransformerLens 4 wraps a model in place. So the bridge gets modules of its own, and the plain model
stays beside it for the circuit code (:mod:`kc_utils.circuits.adapter`). All of them share the
parameters of the model that was given, so training that model changes its bridge. Grouped key/value
heads are ungrouped first: each query head gets its own copy of its group's k and v projection,
which leaves the function of the model unchanged and gives every query head its own k and v edges.
These copies are the only ones; they follow the model whenever this package runs the bridge
(:mod:`kc_utils.circuits.copies`). No weight is folded, centred or otherwise processed.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import torch
from jaxtyping import Int
from torch import Tensor, nn
from transformer_lens.model_bridge import TransformerBridge
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from kc_utils.circuits.adapter import attach
from kc_utils.circuits.architecture import build_adapter
from kc_utils.circuits.checks import (
    check_decomposition,
    check_kind,
    check_logits,
    check_logits_of,
)
from kc_utils.circuits.copies import RepeatedRows
from kc_utils.circuits.precision import own_precision
from kc_utils.errors import KcError
from kc_utils.kernels import causal_attention
from kc_utils.kernels.activation import use_sigmoid_gelu

#: Nothing is fetched, and no code but this machine's is run.
_LOCAL = {"local_files_only": True, "trust_remote_code": False}
#: Makes the parameter of all query heads out of that of the KV heads.
Repeat = Callable[[nn.Parameter], nn.Parameter]


@own_precision()
@torch.inference_mode(False)  # the copies of grouped heads are needed in gradients
def boot_bridge(
    model: PreTrainedModel | str | Path, tokenizer: PreTrainedTokenizerBase | None = None
) -> TransformerBridge:
    """Wrap a causal language model for all that this package computes.

    Args:
        model: a loaded model, whose device and dtype are kept and whose parameters are shared, or
            a local folder of ``transformers`` files to load, with its tokenizer, on the CPU and in
            the dtype of the files.
        tokenizer: the model's; None for the one in the folder that the model is or was loaded from.

    Returns:
        The model in evaluation mode, heads ungrouped; :func:`~kc_utils.circuits.adapter.adapter_of`
        finds its modules, :func:`~kc_utils.circuits.adapter.graph_of` its graph. Everything else in
        this package runs the plain model under it: hooks on the bridge are refused there, and torch
        hooks that are put on ``model`` later are not met. Weights may be trained on the model,
        and moved to another dtype or device on the model or on the bridge; what the bridge has of k
        and v that heads share is a copy of the model's; buffers, such as the frequencies of
        rotary positions, keep the dtype that they had here.

    Raises:
        KcError: a folder that cannot be loaded, or something else in its place; a model whose
            tokenizer is neither given nor on this machine; logits that are not finite numbers; a
            model made in ``torch.inference_mode``; encoder-decoders, mixtures of experts, models
            without heads or logits; rotary positions that depend on the length of a run; a wrapped
            model whose logits differ from the model's own by more than 1e-4 of the largest logit; a
            residual stream that is not the sum of embedding, heads and MLPs, or that is read
            otherwise than through a normalisation.
    """
    given = isinstance(model, PreTrainedModel)
    if not given:
        model, tokenizer = _load(model, tokenizer)
    check_kind(model)
    tokenizer = _tokenizer_of(model) if tokenizer is None else tokenizer
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        ids = probe_ids(model)
        with torch.no_grad():
            expected = model(input_ids=ids, use_cache=False).logits
        plain, copies = _ungrouped(model)
        bridge = _wrap(plain, tokenizer)
    finally:
        for module, training in modes.items():
            module.training = training
    plain.eval()
    bridge.eval()
    _speed_up(plain)
    adapter = build_adapter(bridge, plain)
    with torch.no_grad():
        with _in_a_sentence(f"run {type(model).__name__} in {model.dtype}"):
            wrapped = bridge(ids, return_type="logits", use_cache=False)
    check_logits(model, wrapped, expected)
    check_logits_of(adapter, ids, expected)
    check_decomposition(adapter, ids)
    # nobody can train a model that was loaded here, and it need not stay in memory
    attach(bridge, adapter, copies if given else ())
    return bridge


def _load(
    folder: str | Path, tokenizer: PreTrainedTokenizerBase | None
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    if not isinstance(folder, str | Path):
        raise KcError(
            f"A model is one of transformers or the path of its folder, not a "
            f"{type(folder).__name__}."
        )
    if not Path(folder).is_dir():
        raise KcError(f"There is no folder {str(folder)!r} to load a model from.")
    try:
        model = AutoModelForCausalLM.from_pretrained(
            folder, dtype="auto", use_safetensors=True, **_LOCAL
        )
        return model, tokenizer or AutoTokenizer.from_pretrained(folder, **_LOCAL)
    except (OSError, ValueError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
        raise KcError(f"No model could be loaded from {str(folder)!r}: {reason}.") from None


def _tokenizer_of(model: PreTrainedModel) -> PreTrainedTokenizerBase:
    """What lies beside the model's files; TransformerLens would ask a network for another one."""
    try:
        if name := model.config._name_or_path:
            return AutoTokenizer.from_pretrained(name, **_LOCAL)
    except (OSError, ValueError):
        pass
    raise KcError(
        f"{type(model).__name__} has no tokenizer on this machine; give one as in "
        "boot_bridge(model, tokenizer), any one if prompts come as token ids."
    )


def _wrap(plain: PreTrainedModel, tokenizer: PreTrainedTokenizerBase | None) -> TransformerBridge:
    clone, name = with_shared_parameters(plain), type(plain).__name__
    if not clone.config.architectures:  # a model made from its configuration; TransformerLens asks
        clone.config.architectures = [name]
    with _in_a_sentence(f"wrap {name}"):
        return TransformerBridge.boot_transformers(
            clone.config._name_or_path or clone.config.model_type,
            hf_model=clone,
            tokenizer=copy.deepcopy(tokenizer),
            device=str(clone.device),
            dtype=clone.dtype,
        )


@contextmanager
def _in_a_sentence(what: str) -> Iterator[None]:
    """TransformerLens has no exception of its own: say in a KcError what it cannot do."""
    try:
        yield
    except torch.OutOfMemoryError:
        raise
    except Exception as error:
        lines = str(error).strip().splitlines() or [type(error).__name__]
        reason = lines[0].split(". ")[0].rstrip(".")
        raise KcError(f"TransformerLens cannot {what}: {reason}.") from error


def _speed_up(plain: PreTrainedModel) -> None:
    """Let the same function be computed by what is fastest at short prompts on a CPU."""
    if plain.device.type != "cpu" or plain.dtype not in (torch.float32, torch.float64):
        return
    use_sigmoid_gelu(plain)
    capped = getattr(plain.config, "attn_logit_softcapping", None) is not None
    if plain._supports_sdpa and not capped:  # ours takes no cap on attention scores
        plain.set_attn_implementation(causal_attention.NAME)


def with_shared_parameters(model: PreTrainedModel) -> PreTrainedModel:
    """The same modules once more, around the same parameters."""
    return copy.deepcopy(model, {id(p): p for p in model.parameters()})


def ungroup(model: PreTrainedModel) -> PreTrainedModel:
    """A model with as many key/value heads as query heads and the same function and parameters.

    Query head h takes its k and v from KV head ``h // (query heads / KV heads)``. Only the k and v
    projections (or the one projection of q, k and v) have weights of their own, where heads are
    grouped, and a normalisation of the k of all heads together, whose mean square is the same over
    the copies.
    """
    return _ungrouped(model)[0]


def _ungrouped(model: PreTrainedModel) -> tuple[PreTrainedModel, list[RepeatedRows]]:
    """:func:`ungroup`, and the copies that were made for it."""
    clone, copies = with_shared_parameters(model), []
    heads = clone.config.num_attention_heads
    kv_heads = getattr(clone.config, "num_key_value_heads", None) or heads
    if kv_heads == heads:
        return clone, copies
    times = heads // kv_heads
    attentions = [m for m in clone.modules() if hasattr(m, "num_key_value_groups")]
    for attention in attentions:
        repeat = partial(_repeat, copies, kv_heads, times)
        if hasattr(attention, "k_proj") and hasattr(attention, "v_proj"):
            attention.k_proj = _repeat_heads(attention.k_proj, repeat)
            attention.v_proj = _repeat_heads(attention.v_proj, repeat)
            _repeat_k_norm(attention, kv_heads, times, repeat)
        elif hasattr(attention, "qkv_proj"):
            attention.qkv_proj = _repeat_fused(attention.qkv_proj, copies, kv_heads, times)
        else:
            raise KcError(
                f"{type(attention).__name__} has {kv_heads} key/value heads for {heads} query "
                "heads but neither k_proj and v_proj nor qkv_proj, so its heads cannot be "
                "ungrouped."
            )
        attention.num_key_value_groups = 1
        if hasattr(attention, "num_key_value_heads"):
            attention.num_key_value_heads = heads
    clone.config.num_key_value_heads = heads
    return clone, copies


def _repeat_fused(
    linear: nn.Linear, copies: list[RepeatedRows], kv_heads: int, times: int
) -> nn.Linear:
    """Ungroup one projection of q of all heads, then k, then v (Phi-3, Phi-4).

    Another order would give other logits, which :func:`check_logits` refuses.
    """
    d_head = linear.out_features // (kv_heads * (times + 2))
    q_rows = kv_heads * times * d_head
    return _repeat_heads(linear, partial(_repeat, copies, 2 * kv_heads, times, first=q_rows))


def _repeat_heads(linear: nn.Linear, repeat: Repeat) -> nn.Linear:
    weight = repeat(linear.weight)
    repeated = nn.Linear(
        linear.in_features, len(weight), bias=linear.bias is not None, device="meta"
    )
    repeated.weight = weight
    if linear.bias is not None:
        repeated.bias = repeat(linear.bias)
    return repeated


def _repeat_k_norm(attention: nn.Module, kv_heads: int, times: int, repeat: Repeat) -> None:
    """Let a normalisation of the k of all heads together take in the copies."""
    norms = {}
    for x in "qk":
        found = (getattr(attention, f"{x}_{kind}", None) for kind in ("norm", "layernorm"))
        norms[x] = next((norm for norm in found if norm is not None), None)
    if norms["k"] is None or not list(norms["k"].parameters()):
        return
    sizes = [getattr(norms[x], "weight", torch.empty(0, 0)).shape for x in "qk"]
    d_head = attention.q_proj.out_features // (kv_heads * times)
    if sizes == [(d_head,), (d_head,)]:
        return  # each head on its own, all with the same weights
    if sizes != [(d_head * kv_heads * times,), (d_head * kv_heads,)]:
        raise KcError(f"{type(attention).__name__} normalises its grouped k in an unknown way.")
    norms["k"].weight = repeat(norms["k"].weight)


def _repeat(
    copies: list[RepeatedRows], kv_heads: int, times: int, rows: nn.Parameter, first: int = 0
) -> nn.Parameter:
    copies.append(RepeatedRows(rows, kv_heads, times, first))
    return copies[-1].copy


def probe_ids(model: PreTrainedModel) -> Int[Tensor, "batch pos"]:
    """Two short sequences of token ids that spread over the vocabulary, to compare models with."""
    ids = torch.arange(12, device=model.device) * 7919 % model.config.vocab_size
    return ids.reshape(2, 6)
