"""Which runs a sweep has, which stages of each, and what of them is missing.

The paper's runs share one pre-trained model. By default a seed makes its own, also where the
profile is given one, so that intervals over seeds hold for other base models too. With the base
model of one run (``--base-of``) they hold for that one only, and no seed pays for pre-training.
What is not kept up then: that a new fact about a known person never is, by chance, what the base
corpus told of that person.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from kc_utils import config
from kc_utils.config import Config, profiles
from kc_utils.errors import KcError, cut, shown
from kc_utils.runs.folder import Run, resolve
from kc_utils.study.pipeline import check, stage_name
from kc_utils.study.stages import STAGES

#: Compares attribution methods, which is no claim about learning; ``kc run`` computes it.
LEFT_OUT = ("methods",)
#: Environment of a worker process: results do not depend on the number of cores.
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
#: Of one profile, each with a folder.
MOST_RUNS = 10_000
#: Processes on one machine, each with libraries of its own in memory.
MOST_WORKERS = 1_024
_SEED = re.compile(r"0|[1-9][0-9]{0,19}")
_ADDRESS = re.compile(r"(tcp|tls)://([\w.-]+|\[[0-9a-fA-F:]+\]):\d{1,5}")


@dataclass(frozen=True)
class Member:
    """One run of a sweep: its configuration, its folder, and the stages to compute, in order."""

    settings: Config
    path: Path
    stages: tuple[str, ...]

    @property
    def name(self) -> str:
        """``profile/seed-n``."""
        return f"{self.settings.profile}/seed-{self.settings.seed}"

    def draft(self) -> Run:
        """The run as it is, or would be, without writing anything."""
        try:
            return Run.draft(self.path, self.settings)
        except KcError as error:
            raise KcError(str(error).replace("--run-dir", "--out")) from None

    def missing(self, run: Run) -> list[str]:
        """The stages that ``run`` does not hold for its configuration."""
        return [name for name in self.stages if not STAGES.done(run, name)]


def plan(
    names: Sequence[str],
    seeds: Iterable[int],
    overrides: Sequence[str],
    out: Path,
    *,
    experiments_for: Sequence[str] = (),
    to: str | None = None,
    base_of: str | Path | None = None,
) -> tuple[Member, ...]:
    """The runs of a sweep, all profiles of a seed before the next seed; nothing is written.

    Args:
        names: profiles.
        seeds: of the runs.
        overrides: ``section.key=value`` for every run.
        out: gets ``<profile>/seed-<seed>`` for every run.
        experiments_for: profiles whose experiments are computed too; they train models of
            their own.
        to: last stage to compute, or None for all.
        base_of: run whose base model all of them go on from; None: each makes its own.

    Raises:
        KcError: an unknown profile or stage, an impossible value, a folder that holds something
            else, or a base model that cannot be shared.
    """
    unknown = [name for name in experiments_for if name not in names]
    if unknown:
        raise KcError(
            f"--experiments-for names {shown(unknown[0])}, which is not in this sweep; allowed are "
            f"{', '.join(names)}."
        )
    if any(item.partition("=")[0].strip() in ("seed", "profile") for item in overrides):
        raise KcError(
            "A sweep varies seed and profile; use --seeds and --profiles instead of --set."
        )
    base = None if base_of is None else open_base(base_of, names, experiments_for, overrides)
    out = resolve(out)
    members = tuple(
        Member(
            _settings(name, [*overrides, f"seed={seed}"], base),
            out / name / f"seed-{seed}",
            stages(name in experiments_for, to),
        )
        for seed in seeds
        for name in names
    )
    for member in members:
        check(member.settings)
        if member.settings.world.imported and member.settings.profile in experiments_for:
            raise KcError(
                f"world.imported = {shown(member.settings.world.imported)} needs --no-experiments, "
                "because experiments make worlds of their own."
            )
        member.draft()
    return members


def _settings(name: str, overrides: Sequence[str], base: Run | None) -> Config:
    settings = as_in_sweeps(name, overrides)
    return settings if base is None else on_base(settings, base)


def as_in_sweeps(name: str, overrides: Sequence[str] = ()) -> Config:
    """A profile whose runs make their base models, unless ``overrides`` give them one.

    Models that exist already are taken as they are.
    """
    settings = profiles.load(name, overrides)
    if settings.model.source != "made":
        return settings
    return profiles.load(name, ["base.given=null", *overrides])


def stages(experiments: bool, to: str | None = None) -> tuple[str, ...]:
    """Names of the stages to compute for a run, with or without the experiments."""
    last = None if to is None else stage_name(to, STAGES)
    if last in LEFT_OUT:
        raise KcError(f"--to {to}: a sweep does not compute stage {last!r}; choose another.")
    found = []
    for stage in STAGES:
        if stage.name not in LEFT_OUT and (experiments or stage.group == "study"):
            found.append(stage.name)
        if stage.name == last:
            break
    return tuple(found)


def union(profile: str | None, more: str | None) -> list[str]:
    """``--profile`` and ``--profiles a,b`` together, each once, in their order; tiny without them.

    Raises:
        KcError: a list without a name.
    """
    names = [*([] if profile is None else [profile]), *named("--profiles", more)]
    return list(dict.fromkeys(names)) or ["tiny"]


def named(option: str, text: str | None) -> list[str]:
    """The profiles of a comma list, none where the option was not given.

    Raises:
        KcError: the list has no name.
    """
    names = listed(text)
    if text is not None and not names:
        raise KcError(
            f"{option} {shown(text)} names no profile; allowed are names like tiny,smoke."
        )
    return names


def listed(text: str | None) -> list[str]:
    """The parts of a comma list."""
    return [part.strip() for part in (text or "").split(",") if part.strip()]


def seeds_of(count: int, chosen: str | None) -> list[int]:
    """Seeds 0 to ``count`` - 1, or those of a comma list.

    Raises:
        KcError: there would be none or more than ``MOST_RUNS``, or one is no whole number from 0
            on, written without leading zeros.
    """
    if chosen is None:
        if not 1 <= count <= MOST_RUNS:
            raise KcError(f"--seeds {shown(count)} is impossible; allowed are 1 to {MOST_RUNS:,}.")
        return list(range(count))
    wrong = [part for part in listed(chosen) if not _SEED.fullmatch(part)]
    if wrong or not 1 <= len(listed(chosen)) <= MOST_RUNS:
        given = shown(wrong[0] if wrong else chosen)
        raise KcError(
            f"--seed-list {given} is not possible; allowed are up to {MOST_RUNS:,} whole numbers "
            "like 0,3,4."
        )
    return list(dict.fromkeys(int(part) for part in listed(chosen)))


def check_address(address: str) -> str:
    """The address of a Dask scheduler, as it is.

    Raises:
        KcError: it has another form than ``tcp://host:port`` or ``tls://host:port``.
    """
    if not _ADDRESS.fullmatch(address):
        raise KcError(
            f"--scheduler {shown(address)} is not possible; allowed are tls://host:port and "
            "tcp://host:port."
        )
    return address


def number_of_workers(asked: int | None, gpus: Sequence[str]) -> int:
    """As many as asked for, else one per GPU, else one per core.

    Raises:
        KcError: fewer than one is asked for, or more than ``MOST_WORKERS``.
    """
    if asked is not None and not 1 <= asked <= MOST_WORKERS:
        raise KcError(
            f"--workers {shown(asked)} is not possible; allowed are numbers from 1 to "
            f"{MOST_WORKERS:,}."
        )
    return asked or len(gpus) or len(os.sched_getaffinity(0))


def worker_environments(n_workers: int, gpus: Sequence[str]) -> list[dict[str, str]]:
    """Environment of each worker: one thread, no bars, and a GPU of its own, in turn."""
    common = ONE_THREAD | {"TQDM_DISABLE": "1", "TOKENIZERS_PARALLELISM": "false"}
    if not gpus:
        return [dict(common) for _ in range(n_workers)]
    return [common | {"CUDA_VISIBLE_DEVICES": gpus[i % len(gpus)]} for i in range(n_workers)]


#: What a shared base model decides, so that ``--set`` cannot.
_DECIDED = ("model.", "base.", "world.known_names")


def open_base(
    run_dir: str | Path,
    names: Sequence[str],
    experiments_for: Sequence[str],
    overrides: Sequence[str],
) -> Run:
    """The run whose base model the runs of a sweep share; the rest is what the sweep is to do.

    Raises:
        KcError: it is no run, one of another profile, or one that has not made its base model; or
            the sweep has several profiles, experiments, or overrides without effect.
    """
    if experiments_for:
        raise KcError(
            f"--base-of {run_dir} needs --no-experiments, because experiments make base models of "
            "their own."
        )
    if len(names) != 1:
        raise KcError(
            f"--base-of {run_dir} goes with one profile, and this sweep has {', '.join(names)}."
        )
    for item in overrides:
        if item.strip().startswith(_DECIDED):
            raise KcError(
                f"--set {cut(item)} has no effect with --base-of {run_dir}; leave it out."
            )
    (profile,) = names
    run = Run.open(run_dir)
    if run.config.profile != profile:
        raise KcError(
            f"--base-of {run_dir} is a run of profile {run.config.profile}, and this sweep is of "
            f"{profile}; both have to be the same."
        )
    if run.config.model.source != "made":
        raise KcError(
            f"--base-of {run_dir} is a run that made no base model (model.source = "
            f"{run.config.model.source!r}); allowed are runs with model.source = 'made'."
        )
    if not STAGES.done(run, "base"):
        raise KcError(
            f"--base-of {run_dir} is a run whose base model is not finished; "
            f"'{run.command(run_dir)} --to base' finishes it."
        )
    run.verify(run.path / "base")
    return run


def on_base(settings: Config, run: Run) -> Config:
    """``settings`` with the base model of ``run``: its weights, its tokenizer, the names that it
    was taught, and how that was done."""
    values = settings.model_dump(mode="json")
    values["model"] = run.config.model.model_dump(mode="json") | {
        "source": "folder",
        "path": str(run.path / "base" / "model"),
    }
    values["base"] = run.config.base.model_dump(mode="json")
    values["world"]["known_names_file"] = str(run.path / "data" / "base_corpus.parquet")
    return config.build(values)
