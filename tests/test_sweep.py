"""A sweep: what it plans, what it refuses, and that killed workers and failed runs cost little."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import psutil
import pytest
import torch
from conftest import Forked, kc
from distributed import LocalCluster
from moments import Moment
from small_runs import SETTINGS

from kc_utils.cli.app import app
from kc_utils.cli.outcome import outcome
from kc_utils.config import profiles
from kc_utils.errors import KcError
from kc_utils.models import devices
from kc_utils.runs.dataset import SweepTables
from kc_utils.runs.folder import Run
from kc_utils.study.stages import STAGES
from kc_utils.sweep import cluster, plan
from kc_utils.sweep.command import locked

#: The smallest study that goes through.
PATIENCE = 600  # seconds for what takes a few on a machine that does nothing else
SWEEP = ("sweep", "--profile", "smoke", "--seeds", "2", "--no-experiments")
SET = tuple(part for value in SETTINGS for part in ("--set", value))


def test_a_plan_has_every_profile_of_a_seed_before_the_next_seed(tmp_path) -> None:
    members = plan.plan(["tiny", "tiny-llama"], [0, 1], [], tmp_path, experiments_for=["tiny"])
    assert [m.name for m in members] == [
        "tiny/seed-0", "tiny-llama/seed-0", "tiny/seed-1", "tiny-llama/seed-1"
    ]  # fmt: skip
    assert members[3].path == tmp_path / "tiny-llama" / "seed-1"
    assert members[3].settings == plan.as_in_sweeps("tiny-llama", ["seed=1"])
    study = [stage.name for stage in STAGES.study if stage.name != "methods"]
    assert list(members[1].stages) == study
    experiments = [stage.name for stage in STAGES if stage.group == "experiment"]
    assert list(members[0].stages) == study + experiments
    assert list(tmp_path.iterdir()) == []


def test_a_model_that_exists_is_swept_as_its_profile_says(tmp_path) -> None:
    (member,) = plan.plan(["smollm2"], [3], [], tmp_path)
    assert member.settings == profiles.load("smollm2", ["seed=3"])


def test_stages_come_after_what_they_need_and_none_needs_what_is_left_out() -> None:
    names = plan.stages(experiments=True)
    for i, name in enumerate(names):
        assert set(STAGES.get(name).needs) <= set(names[:i])
    trained = ("world", "prompts", "base", "knowledge", "training")
    assert plan.stages(True, to="training") == trained
    with pytest.raises(KcError, match="does not compute stage 'methods'"):
        plan.stages(True, to="methods")


def test_only_missing_stages_are_to_compute(tmp_path) -> None:
    (member,) = plan.plan(["smoke"], [0], [], tmp_path, to="training")
    run = Run.create(member.path, member.settings)
    run.record_stage("world", STAGES.key(run.config, "world"), 1.0, [])
    assert member.missing(member.draft()) == ["prompts", "base", "knowledge", "training"]
    run.record["config"]["relevance"]["once_known"] = 3  # written by another version
    run.save()
    assert member.missing(member.draft()) == ["prompts", "base", "knowledge", "training"]
    (other,) = plan.plan(["smoke"], [0], ["world.n_people=110"], tmp_path, to="training")
    assert other.missing(other.draft()) == ["world", "prompts", "base", "knowledge", "training"]


def test_profiles_and_seeds_are_united_in_their_order() -> None:
    assert plan.union("tiny", "smoke, tiny,tiny-llama") == ["tiny", "smoke", "tiny-llama"]
    assert plan.union(None, None) == ["tiny"]
    assert plan.seeds_of(3, None) == [0, 1, 2]
    assert plan.seeds_of(3, "4,2,4") == [4, 2]


@pytest.mark.parametrize("wrong", ["", "a", "1,-2", "1,2.5"])
def test_seeds_that_are_none_are_refused(wrong: str) -> None:
    with pytest.raises(KcError, match="--seed-list"):
        plan.seeds_of(3, wrong)


def test_every_worker_has_a_gpu_of_its_own_as_far_as_there_are_enough() -> None:
    def gpus(n_workers: int, names: list[str]) -> list[str | None]:
        found = plan.worker_environments(n_workers, names)
        assert {e["OMP_NUM_THREADS"] for e in found} == {"1"}
        return [e.get("CUDA_VISIBLE_DEVICES") for e in found]

    assert gpus(2, []) == [None, None]
    assert gpus(3, ["0", "1", "2"]) == ["0", "1", "2"]
    assert gpus(4, ["2", "GPU-5c"]) == ["2", "GPU-5c", "2", "GPU-5c"]
    assert plan.number_of_workers(None, ["0", "1", "2"]) == 3
    assert plan.number_of_workers(5, ["0"]) == 5
    assert plan.number_of_workers(None, []) == len(os.sched_getaffinity(0))


@pytest.mark.skipif(torch.cuda.is_available(), reason="says what happens without a GPU")
def test_without_a_gpu_the_cpu_computes() -> None:
    assert devices.device() == torch.device("cpu") and not devices.has_gpu()
    assert devices.visible_gpus({}) == devices.visible_gpus({"CUDA_VISIBLE_DEVICES": "0,1"}) == []


@pytest.mark.parametrize(
    "address", ["tcp://10.0.0.1:8786", "tls://node-3.cluster:1", "tcp://[::1]:8786"]
)
def test_addresses_of_schedulers(address: str) -> None:
    assert plan.check_address(address) == address


MISTAKES = {
    ("--profile", "small"): "Unknown profile 'small'",
    ("--profile", ""): "Unknown profile ''",
    ("--profiles", ""): "--profiles '' names no profile",
    ("--experiments-for", ","): "--experiments-for ',' names no profile",
    ("--to", ""): "Unknown stage ''",
    ("--profiles", "smoke,other"): "Unknown profile 'other'",
    ("--seeds", "0"): "--seeds 0",
    ("--seed-list", "1,x"): "--seed-list 'x'",
    ("--set", "training.epoch=3"): "Unknown configuration key 'training.epoch'",
    ("--set", "seed=3"): "--seeds",
    ("--set", "circuit.top_n=100000"): "circuit.top_n = 100000",
    ("--experiments-for", "tiny"): "--experiments-for names 'tiny'",
    ("--to", "nowhere"): "Unknown stage 'nowhere'",
    ("--scheduler", "localhost:8786"): "--scheduler 'localhost:8786'",
    ("--workers", "0"): "--workers 0",
    ("--seeds", "2", "--seed-list", "1"): "--seeds has no effect with --seed-list",
    ("--no-compute", "--scheduler", "tcp://127.0.0.1:9"): "--scheduler has no effect with --no-co",
    ("--no-compute", "--workers", "1"): "--workers has no effect with --no-compute",
    ("--no-experiments", "--experiments-for", "smoke"): "--experiments-for has no effect with",
    ("--scheduler", "tcp://127.0.0.1:9", "--workers", "1"): "--workers has no effect with --sched",
    ("--export", "kc_utils"): "holds no tables of a sweep",
    ("--keep", "--export", "somewhere"): "give only one of them",
    ("--base-of", "nowhere"): "needs --no-experiments",
    ("--base-of", "nowhere", "--no-experiments"): "nowhere holds no run",
}


@pytest.mark.parametrize("arguments", MISTAKES, ids=" ".join)
def test_a_mistake_is_one_sentence_and_nothing_is_written(arguments, tmp_path, capsys) -> None:
    out = tmp_path / "out"
    profile = [] if "--profile" in arguments else ["--profile", "smoke"]
    assert outcome(lambda: app(["sweep", *profile, "--out", str(out), *arguments])) == 2
    error = capsys.readouterr().err
    assert error.startswith("kc: ") and error.count("\n") == 1 and MISTAKES[arguments] in error
    assert not out.exists()


def test_a_foreign_folder_is_refused_before_other_runs_are_made(tmp_path) -> None:
    (tmp_path / "smoke" / "seed-1").mkdir(parents=True)
    (tmp_path / "smoke" / "seed-1" / "thesis.tex").write_text("precious")
    with pytest.raises(KcError, match="choose another --out"):
        plan.plan(["smoke"], [0, 1], [], tmp_path)
    assert not (tmp_path / "smoke" / "seed-0").exists()


def test_two_sweeps_do_not_compute_the_same_run(tmp_path) -> None:
    members = plan.plan(["smoke"], [0, 1], [], tmp_path)
    with locked(members[:1]):
        with locked(members[1:]):
            pass
        with pytest.raises(KcError, match=r"smoke/seed-0 is being written by process"):
            with locked(members):
                pass


@pytest.mark.slow
def test_a_scheduler_elsewhere_computes_and_one_that_is_not_there_is_named(
    tmp_path, capsys, monkeypatch
) -> None:
    line = ["sweep", "--profile", "smoke", "--seeds", "2", "--out", str(tmp_path), *SET]

    def sweep(address: str) -> tuple[int, str]:
        code = outcome(lambda: app([*line, "--to", "world", "--scheduler", address]))
        return code, capsys.readouterr().err

    with monkeypatch.context() as patch:  # for one that is there, a busy machine may need more
        patch.setattr(cluster, "SECONDS_TO_CONNECT", 1)
        code, error = sweep("tcp://127.0.0.1:9")
    assert code == 2 and error.startswith("kc: No Dask scheduler with workers answers at tcp://")
    assert not list(tmp_path.iterdir())
    with LocalCluster(
        1, threads_per_worker=1, processes=False, protocol="tcp", dashboard_address="127.0.0.1:0"
    ) as elsewhere:
        assert sweep(elsewhere.scheduler_address) == (0, "")
    for seed in (0, 1):
        assert STAGES.done(Run.open(tmp_path / "smoke" / f"seed-{seed}"), "world")


def start(out: Path, to: str, workers: int, moment: Moment) -> Forked:
    line = (*SWEEP, "--workers", str(workers), "--out", out, "--to", to, *SET)
    return Forked("kc", *line, env=moment.environment(), session=True)


@pytest.fixture(scope="module")
def interrupted(tmp_path_factory) -> tuple[Path, int, list[psutil.Process], str]:
    """A sweep that Ctrl-C ended while models were trained: folder, exit code, its processes and
    what it said."""
    out = tmp_path_factory.mktemp("sweep")
    moment = Moment(tmp_path_factory.mktemp("moment"), "smoke/seed-*/checkpoints/step-000000")
    process = start(out, "attribution", 1, moment)
    moment.reached(process)
    children = psutil.Process(process.pid).children(recursive=True)
    os.killpg(process.pid, signal.SIGINT)
    moment.go_on()
    said = "".join(process.communicate(timeout=PATIENCE))
    return out, process.returncode, children, said


@pytest.fixture(scope="module")
def killed(interrupted, tmp_path_factory) -> tuple[Path, str]:
    """The same sweep, started again to its end while a worker is killed: folder and output."""
    out = interrupted[0]
    moment = Moment(tmp_path_factory.mktemp("moment"), "smoke/seed-*/parts/training/*/*")
    process = start(out, "attribution", 2, moment)
    worker = moment.reached(process)
    assert worker != process.pid
    os.kill(worker, signal.SIGKILL)
    output = "".join(process.communicate(timeout=PATIENCE))
    assert process.returncode == 0, output
    return out, output


@pytest.mark.slow
def test_ctrl_c_is_one_line_and_leaves_no_process(interrupted) -> None:
    _, code, children, said = interrupted
    assert code == 130 and said.splitlines()[-1] == "kc: interrupted."
    assert "Traceback" not in said and "Warning" not in said
    assert children
    _, alive = psutil.wait_procs(children, timeout=PATIENCE)
    assert alive == []


@pytest.mark.slow
def test_a_killed_worker_changes_no_table(killed, tmp_path, monkeypatch) -> None:
    out, output = killed
    monkeypatch.setenv("PYTHON_CPU_COUNT", "1")  # plainly: one job after another, here
    settings = profiles.load("smoke", [*SETTINGS, "seed=1"])
    plain = Run.create(tmp_path / "plain", settings)
    swept = Run.open(out / "smoke" / "seed-1")
    assert swept.config == settings
    for stage in plan.stages(False, to="attribution"):
        STAGES.ensure(plain, stage)
        assert swept.record["stages"][stage]["wrote"] == plain.record["stages"][stage]["wrote"]
    assert "2 runs" in output and "wall time" in output and output.count("done") == 2


@pytest.mark.slow
def test_a_second_start_does_nothing(killed) -> None:
    out, _ = killed
    before = {p: p.stat().st_mtime_ns for p in out.glob("smoke/*/**/*") if p.is_file()}
    text = kc(*SWEEP, "--out", out, "--to", "attribution", *SET).stdout
    assert "nothing to do: 2 runs complete" in text
    assert {p: p.stat().st_mtime_ns for p in out.glob("smoke/*/**/*") if p.is_file()} == before


@pytest.mark.slow
def test_a_run_that_fails_leaves_the_others_complete(killed, tmp_path) -> None:
    out, _ = killed
    (out / "smoke" / "seed-1" / "scores" / "step-000000.safetensors").write_bytes(b"nonsense")
    more = (*SWEEP, "--workers", "1", "--out", out, "--to", "circuit", *SET)
    done = kc(*more, "--export", tmp_path / "kept", check=False)
    assert done.returncode == 2
    (sentence,) = done.stderr.strip().splitlines()
    assert "smoke/seed-1, stage circuit: " in sentence and "damaged" in sentence
    assert "not complete, so not in it: smoke/seed-1" in done.stdout
    first, second = (Run.open(out / "smoke" / f"seed-{seed}") for seed in (0, 1))
    assert STAGES.done(first, "circuit") and not STAGES.done(second, "circuit")
    assert STAGES.done(second, "attribution")
    for folder in (out / "tables", tmp_path / "kept"):
        found = SweepTables.open(folder)
        assert found.runs["seed"].tolist() == [0]
        assert set(found.table("checkpoints")["seed"]) == {0}
