"""Child of test_training.py: trains a toy model in forks that are killed, prints hashes as JSON.

The parent process imports everything once and never computes, so its forks start clean.
"""

import hashlib
import json
import os
import random
import signal
import sys
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
CALLS = (3, 16, 40)


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


def killed_at_random(out_dir, rng, longest, **options):
    kills = 0
    while True:
        child = in_fork(lambda: run(out_dir, **options))
        end = time.time() + rng.uniform(0.0, longest)
        while time.time() < end:
            done, status = os.waitpid(child, os.WNOHANG)
            if done:
                if status:
                    raise SystemExit(f"training failed with status {status}")
                return kills
            time.sleep(0.005)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        kills += 1
        longest *= 1.1


def killed_at_call(out_dir, call, forget=(), **options):
    """Kill the run before its ``call``-th operation (file or micro-batch), then finish it.

    ``forget`` names loaders of the state that do nothing when the run goes on: the control.
    """

    def work():
        seen = [0]

        def counted(original):
            def replacement(*args, **named):
                seen[0] += 1
                if seen[0] == call:
                    os.kill(os.getpid(), signal.SIGKILL)
                return original(*args, **named)

            return replacement

        for owner, name in HOOKS:
            setattr(owner, name, counted(getattr(owner, name)))
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
    started = time.time()
    os.waitpid(in_fork(lambda: run(base / "whole")), 0)
    report["whole"] = summary(base / "whole")
    longest = time.time() - started
    report["kills"] = killed_at_random(base / "random", rng, longest)
    report["random"] = summary(base / "random")
    last = {"keep": "last", "schedule": "decay"}
    os.waitpid(in_fork(lambda: run(base / "last", **last)), 0)
    report["last"] = summary(base / "last")
    report["last-killed"] = killed_at_call(base / "last-killed", CALLS[1], **last)
    for call in CALLS:
        report["calls"][call] = killed_at_call(base / f"call-{call}", call)
    for name in ("load_random", "load_optimizer"):
        report["forgot"][name] = killed_at_call(base / f"forgot-{name}", CALLS[-1], (name,))
    os.waitpid(in_fork(lambda: run(base / "other-seed", seed=1)), 0)
    report["other-seed"] = summary(base / "other-seed")
    json.dump(report, sys.stdout)


if __name__ == "__main__":
    main(sys.argv[1])
