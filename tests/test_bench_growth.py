"""Sections of the benchmark for families and growth, its device, and single sections kept."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from benchmarks import __main__ as command
from benchmarks import both_sides, family_times, keeping, on_device, report, scaling
from benchmarks.timing import Rounds
from fake_clock import Clock

from kc_utils import artifacts
from kc_utils.book import stored_results
from kc_utils.errors import KcError

ONE = Rounds(least=1, most=1)
GPU = torch.device("cuda")
MB = 10**6


def test_a_slope_is_the_exponent() -> None:
    x = [2, 4, 8, 16]
    assert scaling.slope(x, [3.0 * n**1.5 for n in x]) == pytest.approx(1.5)
    assert scaling.slope(x, [7.0] * 4) == pytest.approx(0, abs=1e-12)


def test_one_number_grows_at_a_time_and_at_least_eightfold() -> None:
    for quick in (False, True):
        for grows, points in scaling.series(quick).items():
            assert max(points) >= 8 * min(points)
            field = f"n_{grows}"
            assert [getattr(shape, field) for shape in points.values()] == list(points)
            rest = [{k: v for k, v in vars(s).items() if k != field} for s in points.values()]
            assert all(other == rest[0] for other in rest), grows


def test_growth_is_told_apart_from_that_of_the_floor(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Attribution that costs something per edge, and evaluation that costs two floors."""

    def passes(*_: Any, **__: Any) -> None:
        clock.work(0.1 * shape.n_pairs * shape.n_layers)

    def per_edge(*_: Any, **__: Any) -> None:
        clock.work(0.1 * shape.n_pairs * shape.graph.n_edges)

    def case(of: Any, device: torch.device) -> both_sides.Case:
        nonlocal shape
        shape = of
        return both_sides.Case(of, None, None, torch.empty(of.n_pairs), device)

    shape = None
    monkeypatch.setattr(scaling, "case", case)
    monkeypatch.setattr(scaling, "strongest_half", lambda it: None)
    monkeypatch.setattr(both_sides, "attribute", per_edge)
    monkeypatch.setattr(both_sides, "attribution_floor", passes)
    monkeypatch.setattr(both_sides, "evaluate_circuit", lambda *a, **k: (passes(), passes()))
    monkeypatch.setattr(both_sides, "two_forwards", passes)
    found = scaling.scaling(False, ONE, on_device.CPU)
    table = stored_results.scaling_table(found).set_index(["grows", "measured"])
    for grows, floor in (("pairs", 1), ("layers", 1), ("heads", 0)):
        row = table.loc[(grows, "attribute")]
        assert row["floor_slope"] == pytest.approx(floor, abs=1e-9)
        assert row["slope"] == pytest.approx(row["edges_slope"] + (grows == "pairs"))
        flat = table.loc[(grows, "evaluate_circuit")]
        assert flat["slope"] == pytest.approx(floor, abs=1e-9)
        assert flat["least_over_floor"] == flat["most_over_floor"] == pytest.approx(2)
        assert flat["over_floor"] == "2.00, 2.00, 2.00, 2.00"
    assert table.loc[("layers", "attribute"), "edges_slope"] > 1.9
    assert table.loc[("layers", "attribute"), "most_over_floor"] > 1_000


def test_a_family_has_its_ratios_and_its_memory(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def taking(seconds: float) -> Callable[..., None]:
        return lambda *_, **__: clock.work(seconds)

    def peaks(names: list[str], quick: bool) -> dict[str, dict[str, int]]:
        stages = {"libraries": 500 * MB, "model": 100 * MB, "booted": 650 * MB, "peak": 700 * MB}
        return dict.fromkeys(names, stages)

    monkeypatch.setattr(family_times, "peaks", peaks)
    monkeypatch.setattr(family_times, "strongest_half", lambda it: None)
    for name, seconds in (
        ("attribute", 1.2), ("attribution_floor", 1.0),
        ("evaluate_circuit", 3.0), ("two_forwards", 2.0),
    ):  # fmt: skip
        monkeypatch.setattr(both_sides, name, taking(seconds))
    found = family_times.families(True, ONE, on_device.CPU)
    assert found["families_shape"]["d_model"] == 32
    rows = stored_results.families_table(found).to_dict("records")
    assert [row["family"] for row in rows][::2] == ["GPT-2", "Gemma 2"]
    for row in rows:
        assert row["eapig_over_floor"] == pytest.approx(1.2)
        assert row["circuit_over_two_forwards"] == pytest.approx(1.5)
        assert (row["mb_over_model"], row["mb_libraries"]) == (600, 500)


def test_a_benchmark_without_the_sections_has_empty_tables() -> None:
    for kept in ({}, {"targets": {}, "machine": {}}):
        for table in (stored_results.families_table, stored_results.scaling_table):
            frame = table(kept)
            assert len(frame) == 0 and len(frame.columns) > 4


@pytest.mark.parametrize(
    ("name", "words"),
    [("cuda:99", "not there"), ("abacus", "unknown"), ("meta", "allowed are cpu, cuda")],
)
def test_a_device_that_is_not_there_is_refused(name: str, words: str) -> None:
    with pytest.raises(KcError, match=rf"--device {name}.*{words}"):
        on_device.chosen(name)
    assert on_device.chosen("cpu") == on_device.CPU


def test_no_gpu_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(KcError, match="--device cuda is not there: PyTorch finds no CUDA device"):
        on_device.chosen("cuda")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert on_device.chosen("cuda:1").index == 1
    with pytest.raises(KcError, match=r"--device cuda:2 .* finds 2 CUDA devices"):
        on_device.chosen("cuda:2")


def test_the_clock_is_read_when_a_gpu_is_done(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The jobs only give orders; what was ordered is computed when somebody waits for it."""
    ordered = []

    def wait(device: torch.device) -> None:
        while ordered:
            clock.work(ordered.pop())

    monkeypatch.setattr(torch.cuda, "synchronize", wait)
    ratios = {}
    for device in (GPU, on_device.CPU):
        engine, floor = (
            on_device.finished(lambda s=seconds: ordered.append(s), device)
            for seconds in (3.0, 2.0)
        )
        before = clock.wall
        engine(), floor()
        ratios[device.type] = clock.wall - before
    assert ratios == {"cuda": 5.0, "cpu": 0.0}


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The committed benchmark as one of this machine, instead of the book's."""
    result = artifacts.read_json(stored_results.BENCHMARK)
    result.pop("section_dates", None)
    result["machine"] = report.machine() | {"cores": 1}
    path = tmp_path / "kept.json"
    artifacts.write_json(path, result)
    monkeypatch.setattr(stored_results, "BENCHMARK", path)
    return path


def test_single_sections_go_into_the_stored_benchmark(kept: Path, tmp_path: Path) -> None:
    before = json.loads(kept.read_text())
    command.main(["--only", "graph", "--keep", "--out", str(tmp_path / "out")])
    after = json.loads(kept.read_text())
    new = json.loads((tmp_path / "out" / "bench-graph.json").read_text())
    assert set(after) == set(before) | {"section_dates"}
    for key in ("graph_topn_prune_write_seconds", "scores_file_bytes"):
        assert after[key] == new[key]
        assert after["targets"][key] == new["targets"][key]
    for key in ("methods", "peak_bytes_gpt2_xl", "machine", "date", "quick"):
        assert after[key] == before[key], key
    assert set(after["targets"]) == set(stored_results.TARGETS)
    seconds = before["section_seconds"] | new["section_seconds"]
    assert after["section_seconds"] == seconds
    assert after["seconds"] == pytest.approx(sum(seconds.values()), abs=0.1)
    dates = after["section_dates"]
    assert dates["graph"] == new["date"] and dates["methods"] == before["date"]
    assert stored_results.days_measured(after) == sorted({before["date"][:10], new["date"][:10]})
    again = keeping.merged(after, new | {"methods": {"eap": 1.0}})
    assert again["methods"] == {"eap": 1.0} and again["section_dates"] == dates


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"processor": "Z80"}, "has processor Z80 and this"),
        ({"versions": {"torch": "1.0"}}, "has versions torch 1.0 and this"),
        ({"device": "H100"}, "has device H100 and this would be measured with cpu"),
        ({"threads": 4}, "has threads 4"),
    ],
)
def test_sections_of_another_machine_are_refused_before_they_are_measured(
    kept: Path, monkeypatch: pytest.MonkeyPatch, changed: dict, words: str
) -> None:
    result = json.loads(kept.read_text())
    result["machine"] |= changed
    artifacts.write_json(kept, result)
    monkeypatch.setattr(report, "measure", lambda *a, **k: pytest.fail("it was measured"))
    with pytest.raises(KcError, match=words):
        command.main(["--only", "graph", "--keep"])
    assert json.loads(kept.read_text()) == result


def test_what_is_kept_is_the_cpus_and_has_something_to_go_into(
    kept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(on_device, "chosen", lambda name: GPU)
    with pytest.raises(KcError, match="--keep stores what was measured on the CPU"):
        command.main(["--keep", "--device", "cuda"])
    monkeypatch.undo()
    with pytest.raises(KcError, match="none is stored yet"):
        keeping.to_add_to(kept.with_name("nothing.json"), report.machine())
