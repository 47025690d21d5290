"""Circuits in language models: score the edges, cut a circuit, run and judge it.

From a model folder to a faithfulness, and to a file that others read, in six steps:

1. :func:`boot_bridge` wraps a ``transformers`` model (GPT-2, Llama, GPT-NeoX, Phi and relatives);
   :func:`graph_of` is its :class:`Graph` of writers (rows) and readers (columns).
2. :class:`PairBatch` holds clean and corrupted prompts as token ids, with the right and the wrong
   next token, or several of each. Inside a pair both prompts have the same length.
3. :func:`attribute` gives a score matrix [n_forward, n_backward] with the method, metric and steps
   of :class:`AttributionSettings`: how much worse (in units of the metric, logits unless another of
   :data:`METRICS` is chosen) the answer gets when the edge is corrupted, mean over pairs.
   :func:`attribute_by_position` keeps subject, relation and last token apart,
   :func:`attribute_by_token` every token, the module ``neurons`` has the same for nodes and
   neurons, and :func:`write_scores` and :func:`read_scores` store scores.
4. :func:`top_n` keeps the edges of largest |score| and prunes what leads nowhere: a
   :class:`Circuit`. :func:`circuit_from_edges` takes edges as they are, :func:`strongest_edges` is
   the table of the first few. The controls are :func:`random_circuit` and
   :func:`random_circuit_per_layer`.
5. :func:`evaluate_circuit` runs the circuit on held-out pairs while the other edges carry one of
   :data:`ABLATIONS` (:func:`mean_outputs` for ``mean``). Its :class:`EvaluationResult` has logit
   differences (logits), ranks (0 is the top) and the faithfulness: 1 is the model, 0 the corrupted
   run; :func:`faithfulness` is the formula, and ``metric`` judges by another one of
   :data:`METRICS` or by a function. :class:`BatchEvaluation` is for many circuits, and for
   f over size: :func:`curve_circuits`, :func:`size_curve`, :func:`areas`, :func:`minimal_size`.
6. :func:`read_graph` and :func:`write_graph` exchange a :class:`GraphFile` with the EAP-IG library;
   the modules ``graph_files`` and ``networks`` have what MIB's circuit track and NetworkX need.

Tensors and arrays have the shapes that their annotations name. What cannot be computed raises
:class:`kc_utils.errors.KcError`, in one sentence. Nothing here knows of runs, worlds or figures:
the package needs ``kc_utils.errors``, ``kc_utils.artifacts`` and ``kc_utils.kernels`` only.
"""

from importlib import import_module
from typing import Any

_MODULES = {
    "ablation": ("ABLATIONS", "mean_outputs"),
    "adapter": ("graph_of",),
    "attribution": ("attribute",),
    "bridge": ("boot_bridge",),
    "by_position": ("attribute_by_position", "attribute_by_token"),
    "circuit": ("Circuit", "circuit_from_edges", "strongest_edges", "top_n"),
    "circuit_size": ("areas", "curve_circuits", "minimal_size", "size_curve"),
    "evaluation": ("BatchEvaluation", "EvaluationResult", "evaluate_circuit", "faithfulness"),
    "graph": ("Graph",),
    "graph_content": ("GraphFile",),
    "graph_files": ("read_graph", "write_graph"),
    "metrics": ("METRICS",),
    "pair_batch": ("PairBatch",),
    "random_circuits": ("random_circuit", "random_circuit_per_layer"),
    "score_files": ("read_scores", "write_scores"),
    "settings": ("AttributionSettings",),
}
_MODULE_OF = {name: module for module, names in _MODULES.items() for name in names}

__all__ = sorted(_MODULE_OF)


def __getattr__(name: str) -> Any:
    """Import a public name when it is first asked for: torch and transformers take seconds."""
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_MODULE_OF[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
