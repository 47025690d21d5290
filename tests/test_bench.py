"""The benchmark: floors do what they say, ratios see slowness, and the file holds every value."""

from __future__ import annotations

import json
import math
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from benchmarks import __main__ as command
from benchmarks import both_sides, report, sections, shapes, sizes, timing
from benchmarks.memory import high_water_mark
from benchmarks.timing import Rounds, compare, threads
from conftest import ROOT, environment, python
from fake_clock import Clock

from kc_utils.book import stored_results
from kc_utils.errors import KcError

KEYS = (
    "eapig_gpt2_small_over_floor",
    "eapig_tiny_over_floor",
    "circuit_eval_gpt2_small_over_two_forwards",
    "ten_circuits_over_ten_times_one",
    "training_mixed_over_float32",
    "graph_topn_prune_write_seconds",
    "scores_file_bytes",
    "peak_bytes_gpt2_small_over_model",
    "peak_bytes_gpt2_xl",
)


def benchmarks(*arguments: str | Path) -> subprocess.CompletedProcess:
    """``python -m tests.benchmarks`` from the project's root."""
    return python("-m", "tests.benchmarks", *arguments)


@pytest.fixture(scope="module")
def quick(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict, str]:
    """The JSON and the output of a quick benchmark run from the command line."""
    folder = tmp_path_factory.mktemp("bench")
    done = benchmarks("--quick", "--out", folder)
    assert done.returncode == 0, done.stderr
    assert [f.name for f in folder.iterdir()] == ["bench.json"]
    return json.loads((folder / "bench.json").read_text()), done.stdout


@pytest.mark.slow
def test_a_quick_benchmark_holds_every_value(quick: tuple[dict, str]) -> None:
    result, output = quick
    assert result["quick"] is True
    for key in KEYS:
        assert math.isfinite(result[key]) and result[key] > 0, key
        target = result["targets"][key]
        assert math.isfinite(target["most"]) and isinstance(target["met"], bool)
    assert set(result["targets"]) == set(KEYS)
    numbers = [v for v in result.values() if isinstance(v, float)]
    assert all(map(math.isfinite, numbers))
    assert "toy shapes" in output
    assert "bench.json" in output
    table = stored_results.benchmark_table(result)
    assert len(table) == len(KEYS)
    assert {"eap", "eap-ig", "relp"} <= set(stored_results.methods_table(result)["method"])
    assert all(math.isfinite(x) and x > 0 for x in result["methods"].values())
    assert set(result["scaling"]) == {"pairs", "layers", "heads"}
    assert len(stored_results.scaling_table(result)) == 6
    families = stored_results.families_table(result)
    assert {"GPT-2", "Gemma 2"} <= set(families["family"])
    assert (families["mb_over_model"] > 0).all() and (families["mb_libraries"] > 0).all()
    for found in result["families"].values():  # marks of one process, which only rise
        marks = [found[f"peak_bytes_{stage}"] for stage in ("libraries", "booted", "peak")]
        assert marks == sorted(marks)


@pytest.mark.slow
def test_the_benchmark_tells_of_the_machine_but_not_which_one(quick: tuple[dict, str]) -> None:
    result, _ = quick
    machine = result["machine"]
    assert machine["threads"] == 1
    assert machine["memory_bytes"] > 1e9
    assert {"torch", "transformers", "transformer-lens"} <= set(machine["versions"])
    text = json.dumps(result)
    assert "/work" not in text and str(Path.home()) not in text


@pytest.mark.slow
def test_sizes_of_a_quick_benchmark(quick: tuple[dict, str]) -> None:
    result, _ = quick
    edges = sizes.TOY.graph.n_edges
    assert 4 * edges <= result["scores_file_bytes"] <= 4 * edges + 500
    parameters = sum(p.numel() for p in shapes.random_model(sizes.TOY).parameters())
    assert result["peak_bytes_gpt2_small_model"] == 4 * parameters
    small, model = result["peak_bytes_gpt2_small_peak"], result["peak_bytes_gpt2_small_model"]
    assert result["peak_bytes_gpt2_small_over_model"] == small - model
    assert result["peak_bytes_gpt2_xl"] >= result["peak_bytes_gpt2_xl_booted"] > 1e8
    worst = max(
        result[f"circuit_eval_gpt2_small_over_two_forwards_{n}"] for n in ("5000", "all", "300")
    )
    assert result["circuit_eval_gpt2_small_over_two_forwards"] == worst


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--only", "circus"], ["circus", "eapig_tiny"]),
        (["--quick", "--keep"], ["--keep", "--quick"]),
        (["--only", "graph", "--device", "cuda:99"], ["--device", "cuda:99", "not there"]),
    ],
)
def test_a_wrong_option_is_one_sentence_and_writes_nothing(
    tmp_path: Path, arguments: list[str], words: list[str]
) -> None:
    out = tmp_path / "bench"
    with pytest.raises(KcError) as error:
        command.main(["--out", str(out), *arguments])
    assert not out.exists()
    assert len(str(error.value).splitlines()) == 1
    assert all(word in str(error.value) for word in words)


@pytest.mark.slow
def test_the_command_ends_with_that_sentence_and_1(tmp_path: Path) -> None:
    done = benchmarks("--out", tmp_path / "bench", "--only", "circus")
    assert done.returncode == 1
    assert done.stderr.startswith("benchmarks: ") and len(done.stderr.strip().splitlines()) == 1


def test_a_random_model_has_fresh_weights_and_unit_norms() -> None:
    model = shapes.random_model(sizes.TOY)
    assert not model.training
    assert model.transformer.h[0].mlp.c_fc.weight.std().item() == pytest.approx(0.02, rel=0.1)
    assert (model.transformer.h[1].ln_2.weight == 1).all()
    assert (model.transformer.h[1].ln_2.bias == 0).all()
    assert model.lm_head.weight.data_ptr() == model.transformer.wte.weight.data_ptr()
    again, other = shapes.random_model(sizes.TOY), shapes.random_model(sizes.TOY, seed=1)
    assert torch.equal(again.lm_head.weight, model.lm_head.weight)
    assert not torch.equal(other.lm_head.weight, model.lm_head.weight)


def test_shapes_are_the_named_ones() -> None:
    tiny = sizes.named("tiny")
    assert (tiny.n_layers, tiny.d_model) == (8, 128) and tiny.n_pairs > 0
    assert sizes.named("gpt2_xl", quick=True).d_model == sizes.TOY.d_model
    with pytest.raises(KcError, match=r"'gpt3' is not a shape .* gpt2_xl"):
        sizes.named("gpt3")


def test_a_slower_side_raises_the_ratio(clock: Clock) -> None:
    def floor() -> None:
        clock.work(0.1)

    def slept() -> None:
        floor()
        clock.sleep(0.9)

    def four_times() -> None:
        clock.work(0.4)

    rounds = Rounds(least=5, most=5)
    same, sleeping, four = (compare(f, floor, rounds) for f in (floor, slept, four_times))
    assert [r.median for r in (same, sleeping, four)] == pytest.approx([1, 10, 4])
    assert [r.of_least for r in (same, sleeping, four)] == pytest.approx([1, 10, 4])
    # sleeping is no work: the CPU time does not see it, but it sees work
    assert [r.of_cpu for r in (same, sleeping, four)] == pytest.approx([1, 1, 4])
    record = sections.recorded("key", sleeping)
    assert record["key"] == sleeping.median
    assert record["key_rounds"] == 5


def test_one_round_that_the_machine_holds_up_changes_no_median(clock: Clock) -> None:
    rounds = iter([1.0, 1.0, 50.0, 1.0, 1.0, 1.0])  # the first one is not counted
    found = compare(lambda: clock.sleep(next(rounds)), lambda: clock.sleep(0.5), Rounds(5, 5))
    assert found.median == found.of_least == pytest.approx(2)


def test_seconds_are_those_of_the_machines_clocks() -> None:
    def busy() -> None:
        start = time.process_time()
        while time.process_time() - start < 0.02:
            pass

    assert timing.timed(lambda: time.sleep(0.02))[0] >= 0.02
    assert timing.timed(busy)[1] >= 0.02


def test_a_slower_engine_raises_the_measured_value(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def taking(seconds: float, function: Callable) -> Callable:
        return lambda *a: (clock.work(seconds), function(*a))[1]

    attribute = both_sides.attribute
    monkeypatch.setattr(both_sides, "attribution_floor", taking(1.0, both_sides.attribution_floor))
    key, measured = "eapig_tiny_over_floor", []
    for seconds in (1.5, 6.0):
        monkeypatch.setattr(both_sides, "attribute", taking(seconds, attribute))
        measured.append(report.measure(["eapig_tiny"], quick=True))
        assert measured[-1][key] == pytest.approx(seconds)
    fast, slowed = (result["targets"] for result in measured)
    assert (fast[key]["met"], slowed[key]["met"]) == (True, False)
    assert set(slowed) == {key}


def test_rounds_are_bounded() -> None:
    calls = []
    compare(lambda: calls.append(1), lambda: None, Rounds(least=2, most=4, seconds=0.0))
    assert len(calls) == 3  # one to warm up, then no more than the least
    with pytest.raises(KcError, match=r"least=0"):
        Rounds(least=0)


def test_threads_are_put_back() -> None:
    before = torch.get_num_threads()
    with threads(2):
        assert torch.get_num_threads() == 2
    assert torch.get_num_threads() == before


def test_a_process_does_not_inherit_the_peak_of_its_parent() -> None:
    child = "from tests.benchmarks.memory import high_water_mark; print(high_water_mark())"
    parent = (
        "import subprocess, sys\n"
        "from tests.benchmarks.memory import high_water_mark\n"
        "block = bytearray(b'x') * 300_000_000\n"
        "print(high_water_mark())\n"
        f"print(subprocess.check_output([sys.executable, '-c', {child!r}], text=True))"
    )
    done = subprocess.run(
        [sys.executable, "-c", parent], capture_output=True, text=True, env=environment(), cwd=ROOT
    )
    large, small = map(int, done.stdout.split())
    assert large > 300_000_000
    assert small < 100_000_000
    assert high_water_mark() > 0


def test_a_missed_target_is_shown_as_missed() -> None:
    key = "ten_circuits_over_ten_times_one"
    target = stored_results.TARGETS[key]
    assert target.met(0.99) and not target.met(1.0)
    assert stored_results.TARGETS["eapig_tiny_over_floor"].met(2.0)
    result = {
        key: 1.5,
        f"{key}_cpu": 1.4,
        "targets": {key: {"most": 1.0, "unit": "x", "met": False}},
    }
    (row,) = stored_results.benchmark_table(result).to_dict("records")
    assert row["quantity"] == target.words
    assert (row["measured"], row["target"], row["met"]) == ("1.50 x", "below 1.00 x", "no")
    assert (row["least"], row["CPU"]) == ("", "1.40 x")


def test_a_damaged_benchmark_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "bench.json"
    with pytest.raises(KcError, match=r"bench\.json is missing"):
        stored_results.read_benchmark(path)
    path.write_text('{"machine": {}}')
    with pytest.raises(KcError, match=r"damaged: it has no targets"):
        stored_results.read_benchmark(path)
