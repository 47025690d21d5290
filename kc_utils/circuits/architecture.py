"""Finding a model's modules: one function per mechanism, none per family.

Where things are is read from the bridge's own component mapping (``ln1``, ``ln1_post``, ``attn``
with ``q``, ``q_norm``, ..., ``mlp``), so a family made of mechanisms that are known needs nothing
here:

- readers with a LayerNorm or RMSNorm in front, or none: :func:`_norm_before`;
- a normalisation between a writer and the stream: :func:`_norm_behind`;
- q, k and v from one projection or three: :func:`_with_layout`;
- normalisations of q and k: :func:`_couples_heads` says what matters about them;
- a cap on the logits: ``final_logit_softcapping``.

Scaled embeddings, rotary positions of any kind, windows and caps on attention scores happen inside
of modules that are run as they are. A block with a parameter that none of these accounts for is
refused, and so is a model that :mod:`kc_utils.circuits.checks` finds to compute something else.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from transformer_lens.model_bridge import TransformerBridge
from transformers import PreTrainedModel

from kc_utils.circuits.adapter import Adapter
from kc_utils.circuits.block import LAYOUTS, Block, weight_of
from kc_utils.circuits.graph import QKV, Graph
from kc_utils.circuits.norms import NoNorm, Norm, read_norm
from kc_utils.errors import KcError


def build_adapter(bridge: TransformerBridge, model: PreTrainedModel) -> Adapter:
    """Find the modules of ``model`` where the mapping of ``bridge`` says they are.

    KcError for modules that this code does not know.
    """
    name, mapping = type(model).__name__, bridge.adapter.component_mapping
    n_heads = bridge.cfg.n_heads
    wanted = ("embed", "blocks", "ln_final", "unembed")
    if missing := [part for part in wanted if part not in mapping]:
        raise KcError(f"{name} has no {missing[0]!r} among its components.")
    parts = mapping["blocks"].submodules
    parallel = bool(bridge.cfg.parallel_attn_mlp)
    blocks = tuple(
        _block(module, parts, bridge.blocks[i], n_heads, parallel)
        for i, module in enumerate(model.get_submodule(mapping["blocks"].name))
    )
    final_norm = read_norm(model.get_submodule(mapping["ln_final"].name))
    norms = [n for b in blocks for n in (b.attention_norm, b.mlp_norm)]
    if any(norm.centred != final_norm.centred for norm in norms):
        raise KcError(f"{name} has both LayerNorms and normalisations that do not centre.")
    return Adapter(
        model=model,
        graph=Graph(len(blocks), n_heads, parallel),
        embed=model.get_submodule(mapping["embed"].name),
        blocks=blocks,
        final_norm=final_norm,
        unembed=model.get_submodule(mapping["unembed"].name),
        logit_cap=getattr(model.config, "final_logit_softcapping", None),
    )


def _block(
    module: nn.Module, parts: dict[str, Any], wrapped: Any, n_heads: int, parallel: bool
) -> Block:
    attn = _submodule(module, parts, "attn")
    inner = parts["attn"].submodules
    fused = "qkv" in inner
    qkv = tuple(_submodule(attn, inner, part) for part in (("qkv",) if fused else QKV))
    o, mlp = _submodule(attn, inner, "o"), _submodule(module, parts, "mlp")
    _check_widths(attn, qkv, o, n_heads)
    first = _norm_before(module, parts, "ln1", qkv[0])
    norms_of_qk = [attn.get_submodule(inner[n].name) for n in ("q_norm", "k_norm")
                   if n in inner and hasattr(attn, inner[n].name)]  # fmt: skip
    block = Block(
        attention_norm=first,
        # Without a second one in front of a parallel MLP, the first serves both.
        mlp_norm=first if parallel and "ln2" not in parts else _norm_before(
            module, parts, "ln2", mlp
        ),
        attention=attn,
        qkv=qkv,
        layout="stacked" if fused else "separate",
        o=o,
        mlp=mlp,
        n_heads=n_heads,
        attention_post=_norm_behind(module, parts, "ln1_post", o),
        mlp_post=_norm_behind(module, parts, "ln2_post"),
    )  # fmt: skip
    block = replace(block, couples_heads=_couples_heads(block, norms_of_qk))
    _check_parameters(module, block, norms_of_qk)
    return _with_layout(block, wrapped.attn) if fused else block


def _submodule(module: nn.Module, parts: dict[str, Any], part: str) -> nn.Module:
    """The module that the mapping calls ``part``; KcError if there is none."""
    try:
        return module.get_submodule(parts[part].name)
    except (AttributeError, KeyError):
        raise KcError(
            f"{type(module).__name__} has no {part!r} that can be told apart, so its heads and "
            "MLPs cannot be either."
        ) from None


def _norm_before(module: nn.Module, parts: dict[str, Any], part: str, reader: nn.Module) -> Norm:
    """The normalisation in front of ``reader``, or none."""
    return read_norm(_submodule(module, parts, part)) if part in parts else NoNorm(reader)


def _norm_behind(
    module: nn.Module, parts: dict[str, Any], part: str, projection: nn.Module | None = None
) -> Norm | None:
    """The normalisation between a writer and the stream, if there is one.

    KcError for a bias of the heads' output ``projection`` in front of it: what it adds to the
    stream would change with the scale of every run and belong to nobody.
    """
    if part not in parts:
        return None
    if getattr(projection, "bias", None) is not None:
        raise KcError(
            f"{type(module).__name__} has a bias between its heads and the normalisation behind "
            "them, which belongs to no head."
        )
    return read_norm(_submodule(module, parts, part))


def _couples_heads(block: Block, norms_of_qk: Sequence[nn.Module]) -> bool:
    """Whether a scale is taken over several heads: of their outputs, or of their q or k."""
    d_head = weight_of(block.o).shape[1] // block.n_heads
    sizes = [weight.numel() if isinstance(weight, Tensor) else None
             for weight in (getattr(norm, "weight", None) for norm in norms_of_qk)]  # fmt: skip
    return block.attention_post is not None or any(size != d_head for size in sizes)


def _check_widths(attn: nn.Module, qkv: Sequence[nn.Module], o: nn.Module, n_heads: int) -> None:
    """KcError unless q, k and v have one vector per head, as wide as the head's output."""
    width = weight_of(o).shape[1]
    rows = sum(len(weight_of(module)) for module in qkv)
    if (
        width % n_heads
        or rows != 3 * width
        or any(3 * width // len(qkv) != len(weight_of(m)) for m in qkv)
    ):
        raise KcError(
            f"The projections of {type(attn).__name__} do not give one q, k and v of equal width "
            f"for each of {n_heads} heads."
        )


def _check_parameters(module: nn.Module, block: Block, more: Sequence[nn.Module]) -> None:
    """KcError for a parameter of a block that belongs to no module that is accounted for."""
    norms = (block.attention_norm, block.mlp_norm, block.attention_post, block.mlp_post)
    known = [*(n.module for n in norms if n is not None), *block.qkv, block.o, block.mlp, *more]
    owned = {id(p) for part in known for p in part.parameters()}
    if others := [name for name, p in module.named_parameters() if id(p) not in owned]:
        raise KcError(
            f"{type(module).__name__} has a part that this code does not know: {others[0]!r}."
        )


def _with_layout(block: Block, attention: Any) -> Block:
    """Which way of reading a fused projection gives the q, k and v that the bridge has split."""
    split = [weight_of(getattr(attention, name).original_component) for name in QKV]
    for layout in LAYOUTS[1:]:
        candidate = replace(block, layout=layout)
        found = [x.flatten(0, 1) for x in candidate.w_qkv]
        if all(torch.equal(a, b) for a, b in zip(found, split, strict=True)):
            return candidate
    name = type(block.attention).__name__
    raise KcError(f"The fused q, k, v projection of {name} has an unknown layout.")
