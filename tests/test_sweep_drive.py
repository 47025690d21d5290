"""What a sweep does with errors of its stages: a sentence, a report, another try."""

from __future__ import annotations

from pathlib import Path

import distributed
from distributed import LocalCluster

from kc_utils.config import profiles
from kc_utils.errors import KcError
from kc_utils.sweep import cluster, drive, plan


def test_what_nobody_expected_is_one_sentence_with_a_report(monkeypatch, tmp_path) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    try:
        raise AssertionError
    except AssertionError as error:
        said = drive.sentence(error)
    (report,) = tmp_path.iterdir()
    assert said == (
        f"An unexpected AssertionError (no reason given); the full report is in {str(report)!r}."
    )
    assert "raise AssertionError" in report.read_text() and "Traceback" in report.read_text()
    assert drive.sentence(KcError("No such thing.")) == "No such thing."
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "none"))
    assert "no report could be written" in drive.sentence(ValueError("x"))


def test_a_stage_is_tried_again_where_dask_itself_failed(monkeypatch, tmp_path) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    place = str(Path(distributed.__file__).with_name("worker.py"))

    def compute(path: Path, settings: object, stage: str) -> None:  # is sent as bytes: no closure
        made = list(path.glob(f"{stage}-*"))
        (path / f"{stage}-{len(made)}").touch()
        if stage in ("ours", "always") or (stage == "once" and not made):
            exec(compile("raise AssertionError", "ours.py" if stage == "ours" else place, "exec"))

    monkeypatch.setattr(drive, "compute_stage", compute)
    settings = [profiles.load("smoke", [f"seed={seed}"]) for seed in range(3)]
    runs = [plan.Member(each, tmp_path, ()) for each in settings]
    work = list(zip(runs, (["once", "next"], ["ours", "next"], ["always", "next"]), strict=True))
    with (
        LocalCluster(1, processes=False, dashboard_address=None) as here,
        here.get_client() as client,
    ):
        failed = drive.Drive(client, lambda: 1, lambda *_: None).compute(work)
    found = [(failure.run, failure.stage) for failure in failed]
    assert found == [("smoke/seed-1", "ours"), ("smoke/seed-2", "always")]
    tried = {stage: len(list(tmp_path.glob(f"{stage}-*"))) for stage in ("once", "ours", "always")}
    assert tried == {"once": 2, "ours": 1, "always": 1 + cluster.ALLOWED_FAILURES}
    assert len(list(tmp_path.glob("next-*"))) == 1
