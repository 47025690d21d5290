"""Child of test_training.py: trains a toy model in forks that are killed, prints hashes as JSON.

The parent process imports everything once and never computes, so its forks start clean.
"""

import hashlib
import json
import os
import random
import signal
import sys
import threading
import time
from pathlib import Path

import torch
from transformers import GPT2Config, GPT2LMHeadModel

from kc_utils.config import TrainingConfig
from kc_utils.models.tokenizers import train_bpe
from kc_utils.training import checkpoints
from kc_utils.training import checkpoints as state
from kc_utils.training.packing import plan_epochs
from kc_utils.training.pretraining import train
from kc_utils.training.trainer import StepTrainer

TEXTS = [f"person {i} lives in city {i * 7 % 10} and works for company {i % 5}" for i in range(60)]
HOOKS = (
    (checkpoints.os, "replace"),
    (checkpoints.shutil, "rmtree"),
    (checkpoints, "write_json"),
    (StepTrainer, "training_step"),
)
MOMENTS = (0.04, 0.55, 0.8)  # of all operations: before the first checkpoint, and later


def toy(tokenizer, seed=0):
    torch.manual_seed(seed)
    return GPT2LMHeadModel(
        GPT2Config(
            vocab_size=len(tokenizer),
            n_positions=64,
            n_embd=16,
            n_layer=1,
            n_head=2,
            bos_token_id=tokenizer.eos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )  # dropout 0.1, as in the published GPT-2
    )


def run(out_dir, seed=0, keep="all", schedule="constant"):
    torch.set_num_threads(1)
    tokenizer = train_bpe(TEXTS, 300)
    plan = plan_epochs(
        tokenizer(TEXTS).input_ids,
        epochs=3,
        block_size=64,
        eos_id=tokenizer.eos_token_id,
        pad_id=tokenizer.pad_token_id,
        seed=0,
    )
    settings = TrainingConfig(
        epochs=3, block_size=64, batch_size=2, accumulation=2, checkpoint_every=4
    )
    model = toy(tokenizer)
    return train(model, tokenizer, plan, out_dir, settings, seed, keep=keep, schedule=schedule)


def in_fork(work):
    child = os.fork()
    if child == 0:
        sys.stderr = open(os.devnull, "w")
        work()
        os._exit(0)
    return child


def on_call(number, act):
    """Call ``act`` before the ``number``-th operation (file or micro-batch) of this process.

    Returns a list of one: how many operations there have been.
    """
    seen = [0]

    def counted(original):
        def replacement(*args, **named):
            seen[0] += 1
            if seen[0] == number:
                act()
            return original(*args, **named)

        return replacement

    for owner, name in HOOKS:
        setattr(owner, name, counted(getattr(owner, name)))
    return seen


def die():
    os.kill(os.getpid(), signal.SIGKILL)


def operations(out_dir, **options):
    """How many there are in a whole run."""
    reader, writer = os.pipe()

    def work():
        seen = on_call(0, die)
        run(out_dir, **options)
        os.write(writer, str(seen[0]).encode())

    os.waitpid(in_fork(work), 0)
    os.close(writer)
    with os.fdopen(reader) as said:
        return int(said.read())


def killed_at_random(out_dir, rng, n_operations, **options):
    """Kill the run a few milliseconds after a random operation, again and again until it ends.

    The moment of death depends on the machine; that there is one does not.
    """
    kills = 0
    while True:
        number, delay = rng.randrange(1, n_operations), rng.uniform(0.0, 0.02)

        def work(number=number, delay=delay):
            killer = threading.Thread(target=lambda: (time.sleep(delay), die()))
            on_call(number, killer.start)
            run(out_dir, **options)
            if killer.ident is not None:  # it has begun: the run was faster
                killer.join()

        _, status = os.waitpid(in_fork(work), 0)
        if not os.WIFSIGNALED(status):
            if status:
                raise SystemExit(f"training failed with status {status}")
            return kills
        kills += 1


def killed_at_call(out_dir, call, forget=(), **options):
    """Kill the run before its ``call``-th operation, then finish it.

    ``forget`` names loaders of the state that do nothing when the run goes on: the control.
    """

    def work():
        on_call(call, die)
        run(out_dir, **options)

    def finish():
        for name in forget:
            setattr(state, name, lambda *args: None)
        run(out_dir, **options)

    _, status = os.waitpid(in_fork(work), 0)
    newest = max((c.step for c in checkpoints.list_checkpoints(out_dir)), default=-1)
    died = os.WIFSIGNALED(status)
    _, status = os.waitpid(in_fork(finish), 0)
    if status:
        raise SystemExit(f"resuming after call {call} failed with status {status}")
    return {"died": died, "resumed_from": newest, "files": summary(out_dir)}


def summary(out_dir):
    folders = sorted(p for p in Path(out_dir).iterdir())
    files = {str(f.relative_to(out_dir)): f for d in folders for f in sorted(d.rglob("*"))}
    return {
        name: hashlib.sha256(f.read_bytes()).hexdigest() for name, f in files.items() if f.is_file()
    }


def main(base):
    base = Path(base)
    rng = random.Random(7)
    report = {"calls": {}, "forgot": {}}
    n_operations = operations(base / "whole")
    report["whole"] = summary(base / "whole")
    report["kills"] = killed_at_random(base / "random", rng, n_operations)
    report["random"] = summary(base / "random")
    last = {"keep": "last", "schedule": "decay"}
    os.waitpid(in_fork(lambda: run(base / "last", **last)), 0)
    report["last"] = summary(base / "last")
    calls = [round(moment * n_operations) for moment in MOMENTS]
    report["last-killed"] = killed_at_call(base / "last-killed", calls[-1], **last)
    for call in calls:
        report["calls"][call] = killed_at_call(base / f"call-{call}", call)
    for name in ("load_random", "load_optimizer"):
        report["forgot"][name] = killed_at_call(base / f"forgot-{name}", calls[-1], (name,))
    os.waitpid(in_fork(lambda: run(base / "other-seed", seed=1)), 0)
    report["other-seed"] = summary(base / "other-seed")
    json.dump(report, sys.stdout)


if __name__ == "__main__":
    main(sys.argv[1])
