"""Where writers and readers sit in a TransformerBridge: hook names, weights, normalisations.

Everything that depends on how TransformerLens names things is in this file. It serves models whose
residual stream is ``embedding (+ positions) + sum of heads (+ biases) + sum of MLPs`` with a
LayerNorm or RMSNorm in front of every reader: GPT-2, Llama, GPT-NeoX, Phi and their relatives.
Norms behind a writer (Gemma 2, OLMo 2), residual multipliers and mixtures of heads are refused by
:func:`check_decomposition`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from transformer_lens.model_bridge import TransformerBridge
from transformers.pytorch_utils import Conv1D

from kc_utils.errors import KcError
from kc_utils.graph import QKV, Graph

EMBED = "embed.hook_out"
FINAL_IN, FINAL_OUT = "ln_final.hook_in", "ln_final.hook_out"
UNEMBED_IN = "unembed.hook_in"
Hook = tuple[str, Callable[..., Any]]


@dataclass(frozen=True)
class Norm:
    """LayerNorm (``centred``) or RMSNorm: y = weight * c(x) / scale(x) + bias."""

    module: nn.Module
    weight: Float[Tensor, " d_model"]
    eps: float
    centred: bool

    def centre(self, x: Float[Tensor, "... d_model"]) -> Float[Tensor, "... d_model"]:
        """Subtract the mean over the width, in a LayerNorm."""
        return x - x.mean(-1, keepdim=True) if self.centred else x

    def scale(self, x: Float[Tensor, "... d_model"]) -> Float[Tensor, "... 1"]:
        """Root mean square of the centred input, with epsilon."""
        return (self.centre(x).square().mean(-1, keepdim=True) + self.eps).sqrt()


@dataclass(frozen=True)
class Layer:
    """One block: names of its hook points, its head weights and its two normalisations."""

    qkv: tuple[str, str, str]
    z: str
    attention_in: str
    mlp_in: str
    mlp_out: str
    mlp_residual: str
    w_qkv: tuple[Float[Tensor, "n_heads d_head d_model"], ...]
    b_qkv: tuple[Float[Tensor, "n_heads d_head"], ...]
    w_o: Float[Tensor, "n_heads d_head d_model"]
    b_o: Float[Tensor, " d_model"]
    attention_norm: Norm
    mlp_norm: Norm


@dataclass(frozen=True)
class Parts:
    """A bridge taken apart: its graph, its layers and its final normalisation."""

    bridge: TransformerBridge
    graph: Graph
    layers: tuple[Layer, ...]
    final_norm: Norm

    def forward(self, ids: Int[Tensor, "batch pos"], hooks: list[Hook]) -> Tensor:
        """Logits of one run under ``hooks`` (shape as the unembedding leaves it)."""
        with self.bridge.hooks(fwd_hooks=hooks):
            return self.bridge(ids, return_type="logits", use_cache=False)


@dataclass(frozen=True)
class Written:
    """What the writers wrote in one run, heads still in head space."""

    embed: Float[Tensor, "batch pos d_model"]
    z: tuple[Float[Tensor, "batch pos n_heads d_head"], ...]
    mlp: tuple[Float[Tensor, "batch pos d_model"], ...]

    def minus(self, other: Written) -> Written:
        """Differences of two runs of equal shape."""
        return Written(
            self.embed - other.embed,
            tuple(a - b for a, b in zip(self.z, other.z, strict=True)),
            tuple(a - b for a, b in zip(self.mlp, other.mlp, strict=True)),
        )

    def slice(self, start: int, stop: int, pos: int | None = None) -> Written:
        """Pairs ``start`` to ``stop`` and the first ``pos`` positions."""
        part = (slice(start, stop), slice(None, pos))
        return Written(
            self.embed[part], tuple(x[part] for x in self.z), tuple(x[part] for x in self.mlp)
        )

    def padded(self, pos: int) -> Written:
        """The same with zeros up to ``pos`` positions."""

        def pad(x: Tensor) -> Tensor:
            return torch.cat([x, x.new_zeros(len(x), pos - x.shape[1], *x.shape[2:])], dim=1)

        return Written(pad(self.embed), tuple(map(pad, self.z)), tuple(map(pad, self.mlp)))

    @staticmethod
    def joined(blocks: list[Written]) -> Written:
        """Blocks of pairs one after the other."""
        return Written(
            torch.cat([b.embed for b in blocks]),
            tuple(torch.cat(x) for x in zip(*(b.z for b in blocks), strict=True)),
            tuple(torch.cat(x) for x in zip(*(b.mlp for b in blocks), strict=True)),
        )

    def outputs(self, parts: Parts) -> Float[Tensor, "n_forward batch pos d_model"]:
        """Outputs of all writers in the order of the graph's rows."""
        rows = [self.embed[None]]
        for layer, z, mlp in zip(parts.layers, self.z, self.mlp, strict=True):
            rows += [head_outputs(z, layer.w_o), mlp[None]]
        return torch.cat(rows)


def head_outputs(
    z: Float[Tensor, "batch pos n_heads d_head"], w_o: Float[Tensor, "n_heads d_head d_model"]
) -> Float[Tensor, "n_heads batch pos d_model"]:
    """Each head's output: its z times its slice of the output projection, without the bias."""
    return torch.einsum("bphe,hed->hbpd", z, w_o)


def take_apart(bridge: TransformerBridge) -> Parts:
    """Find the parts of ``bridge``; KcError if it has others than this file knows."""
    cfg = bridge.cfg
    kv_heads = cfg.n_key_value_heads or cfg.n_heads
    if kv_heads != cfg.n_heads:
        raise KcError(
            f"The bridge has {kv_heads} key/value heads for {cfg.n_heads} query heads; boot it "
            "with kc_utils.bridge.boot_bridge, which ungroups them."
        )
    graph = Graph(cfg.n_layers, cfg.n_heads, bool(cfg.parallel_attn_mlp))
    layers = tuple(_layer(block, i, cfg.n_heads) for i, block in enumerate(bridge.blocks))
    return Parts(bridge, graph, layers, _norm(bridge.ln_final))


def graph_of(bridge: TransformerBridge) -> Graph:
    """The computational graph of ``bridge``."""
    return take_apart(bridge).graph


def require_eval(bridge: TransformerBridge) -> None:
    """KcError while the model is in training mode (dropout would be noise in every number)."""
    if any(module.training for module in bridge.original_model.modules()):
        raise KcError("The model is in training mode; call .eval() on it first.")


@contextmanager
def frozen(bridge: TransformerBridge) -> Iterator[None]:
    """No parameter takes gradients inside; afterwards each is as it was before."""
    changed = [p for p in bridge.parameters() if p.requires_grad]
    for parameter in changed:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in changed:
            parameter.requires_grad_(True)


def record(
    parts: Parts, ids: Int[Tensor, "batch pos"], hooks: list[Hook]
) -> tuple[Tensor, Written]:
    """Run ``ids`` under ``hooks`` and note what every writer wrote; no gradients."""
    seen: dict[str, Tensor] = {}

    def keep(tensor: Tensor, hook: Any) -> None:
        seen[hook.name] = tensor

    names = [EMBED, *(n for layer in parts.layers for n in (layer.z, layer.mlp_out))]
    with torch.no_grad():
        logits = parts.forward(ids, [*hooks, *((name, keep) for name in names)])
    z = tuple(split_heads(seen[layer.z], parts.graph.n_heads) for layer in parts.layers)
    return logits, Written(seen[EMBED], z, tuple(seen[layer.mlp_out] for layer in parts.layers))


def last_only(last: Int[Tensor, " batch"]) -> Hook:
    """A hook that leaves only the last real token to the unembedding: logits [batch, 1, vocab]."""

    def gather(x: Tensor, hook: Any) -> Tensor:
        return x[torch.arange(len(last), device=x.device), last][:, None]

    return UNEMBED_IN, gather


def split_heads(x: Tensor, n_heads: int) -> Float[Tensor, "batch pos n_heads d_head"]:
    """[batch, pos, n_heads * d_head] or already split."""
    return x.reshape(*x.shape[:2], n_heads, -1)


def check_decomposition(bridge: TransformerBridge, ids: Int[Tensor, "batch pos"]) -> None:
    """KcError unless the final residual stream is the sum of its writers and output biases."""
    parts = take_apart(bridge)
    seen: dict[str, Tensor] = {}

    def keep(tensor: Tensor, hook: Any) -> None:
        seen[hook.name] = tensor

    first = parts.layers[0].attention_in
    _, written = record(parts, ids, [(name, keep) for name in (first, FINAL_IN)])
    biases = sum(layer.b_o for layer in parts.layers)
    total = seen[first] - written.embed + written.outputs(parts).sum(0) + biases
    error = ((total - seen[FINAL_IN]).abs().max() / seen[FINAL_IN].abs().max()).item()
    if not error <= (1e-4 if total.dtype in (torch.float32, torch.float64) else 0.05):
        raise KcError(
            f"The residual stream of {type(bridge.original_model).__name__} is not the sum of its "
            f"embedding, heads and MLPs (relative error {error:.1e}), so it has no edges to score."
        )


def _layer(block: Any, index: int, n_heads: int) -> Layer:
    name = f"blocks.{index}"
    attention = block.attn
    own_norm = getattr(block, "ln2", None)
    linears = [getattr(attention, x).original_component for x in QKV]
    weights = [_weight(linear) for linear in linears]
    d_head = weights[0].shape[0] // n_heads
    w_o = _weight(attention.o.original_component)
    return Layer(
        qkv=tuple(f"{name}.attn.{x}.hook_out" for x in QKV),
        z=f"{name}.attn.o.hook_in",
        attention_in=f"{name}.ln1.hook_in",
        mlp_in=f"{name}.mlp.hook_in",
        mlp_out=f"{name}.mlp.hook_out",
        mlp_residual=f"{name}.{'ln1' if own_norm is None else 'ln2'}.hook_in",
        w_qkv=tuple(w.detach().view(n_heads, d_head, -1) for w in weights),
        b_qkv=tuple(_bias(x).view(n_heads, d_head) for x in linears),
        w_o=w_o.detach().T.reshape(n_heads, d_head, -1),
        b_o=_bias(attention.o.original_component),
        attention_norm=_norm(block.ln1),
        mlp_norm=_norm(block.ln1 if own_norm is None else own_norm),
    )


def _weight(linear: nn.Module) -> Float[Tensor, "d_out d_in"]:
    if isinstance(linear, Conv1D):
        return linear.weight.T
    if isinstance(linear, nn.Linear):
        return linear.weight
    raise KcError(f"{type(linear).__name__} is not a linear layer that can be split into heads.")


def _bias(linear: nn.Module) -> Float[Tensor, " d_out"]:
    weight = _weight(linear)
    bias = linear.bias
    return weight.new_zeros(weight.shape[0]).detach() if bias is None else bias.detach()


def _norm(component: Any) -> Norm:
    """Read a normalisation and check the closed form against the module on a fixed input."""
    module = component.original_component
    weight, bias = getattr(module, "weight", None), getattr(module, "bias", None)
    eps = getattr(module, "variance_epsilon", getattr(module, "eps", None))
    if weight is None or eps is None:
        raise KcError(f"{type(module).__name__} is neither a LayerNorm nor an RMSNorm.")
    weight = weight.detach()
    weight = 1 + weight if component.uses_weight_offset else weight
    norm = Norm(module, weight, float(eps), not component.uses_rms_norm)
    x = torch.linspace(-1, 2, len(weight), device=weight.device, dtype=weight.dtype).square()
    with torch.no_grad():
        expected = module(x[None])[0]
        actual = weight * norm.centre(x) / norm.scale(x) + (0 if bias is None else bias)
    loose = weight.dtype not in (torch.float32, torch.float64)
    if not torch.allclose(actual, expected, rtol=1e-4, atol=0.05 if loose else 1e-5):
        raise KcError(f"{type(module).__name__} is neither a LayerNorm nor an RMSNorm.")
    return norm
