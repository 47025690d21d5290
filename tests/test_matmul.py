"""Products by oneDNN: permitted only where they are exact, and training stays what it was."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
import torch
from conftest import ROOT, environment

from kc_utils.kernels import matmul
from kc_utils.training.trainer import next_token_loss

CPU = torch.cpu.get_capabilities()


def setting() -> str:
    return torch.backends.mkldnn.matmul.fp32_precision


@pytest.mark.parametrize(("faster", "exact"), [(True, True), (True, False), (False, True)])
def test_the_choice_needs_speed_and_exactness_and_ends_with_the_block(monkeypatch, faster, exact):
    monkeypatch.setattr(matmul, "is_faster", lambda: faster)
    monkeypatch.setattr(matmul, "is_exact", lambda: exact)
    before = setting()
    with pytest.raises(RuntimeError), matmul.fast_products() as by_onednn:
        assert by_onednn == (faster and exact) == (setting() != before)
        raise RuntimeError
    assert setting() == before


def test_a_processor_that_would_round_is_found_out():
    """Factors of bfloat16 have 8 bits instead of 24, so there is nothing between the two."""
    factors = torch.randn(2, 128, 128, generator=torch.Generator().manual_seed(0))
    exact = (factors[0].double() @ factors[1].double()).float()
    error = (factors[0] @ factors[1] - exact).abs().max()
    with matmul._permitted():
        permitted = (factors[0] @ factors[1] - exact).abs().max()
    assert matmul.is_exact() == bool(permitted < 100 * error)


def test_intel_keeps_mkl(monkeypatch):
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: True)
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX512")
    for name, faster in [("Intel Xeon", False), ("AMD EPYC 9R14", True), ("", True)]:
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda name=name: {"cpu_name": name})
        assert matmul.is_faster() == faster
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX2")
    assert not matmul.is_faster()


@pytest.mark.slow
@pytest.mark.skipif(not CPU.get("avx512_bw"), reason="needs a processor with AVX-512")
def test_training_is_the_same_by_either_library():
    """On a processor that is told to have no tiles for bfloat16, as the others have none."""
    done = subprocess.run(
        [sys.executable, str(ROOT / "tests" / "train_with_products.py")],
        env=environment() | {"ONEDNN_MAX_CPU_ISA": "AVX512_CORE"},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    result = json.loads(done.stdout)
    mkl, onednn = result["mkl"], result["onednn"]
    assert result["exact"]
    assert set(mkl["setting"]) == {result["after"]} and set(onednn["setting"]) == {"bf16"}
    assert onednn["loss"] == pytest.approx(mkl["loss"], abs=1e-5)
    assert mkl["products"] == 0 < onednn["products"]  # each was computed by its own library
    assert mkl["loss"][-1] < mkl["loss"][0] - 0.01


@pytest.mark.parametrize("counted", [None, torch.tensor(7.0)])
def test_the_loss_is_that_of_the_logits_cut_before_the_last_position(counted):
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(3, 6, 11, generator=generator, requires_grad=True)
    labels = torch.randint(11, (3, 6), generator=generator)
    labels[1, 3:] = -100
    total = torch.nn.functional.cross_entropy(
        logits[:, :-1].reshape(-1, 11), labels[:, 1:].reshape(-1), reduction="sum"
    )
    expected = total / (12 if counted is None else counted)
    found = next_token_loss(type("Outputs", (), {"logits": logits}), labels, counted)
    torch.testing.assert_close(found, expected)
    gradients = [torch.autograd.grad(loss, logits)[0] for loss in (found, expected)]
    torch.testing.assert_close(*gradients)
    assert not gradients[0][:, -1].any()
