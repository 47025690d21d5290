"""Command lines that the option parser refuses: one sentence, exit code 2, nothing computed."""

from __future__ import annotations

import pytest
import torch

from kc_utils.circuits import Graph
from kc_utils.circuits.score_files import write_scores
from kc_utils.cli.app import app
from kc_utils.cli.outcome import outcome


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["rum"], "Unknown command 'rum' (did you mean run?); allowed are run, train, book,"),
        (["nosuch"], "Unknown command 'nosuch'; allowed are run,"),
        (["a\nb\x1b[2J"], "Unknown command 'a\\nb\\x1b[2J'; allowed are run,"),
        (["--bogus"], "Unknown option '--bogus' of 'kc'; allowed are --help."),
        (["run", "--profil", "tiny"], "Unknown option '--profil' of 'kc run' (did you mean --pro"),
        (["run", "--bogus"], "Unknown option '--bogus' of 'kc run'; allowed are --profile, --set"),
        (
            ["status", "--run-dir", "x"],
            "'kc status' takes this without --run-dir: 'kc status RUN-DIR'.",
        ),
        (
            ["run", "--run_dir", "x"],
            "Unknown option '--run_dir' of 'kc run' (did you mean --run-dir",
        ),
        (["run", "-z"], "Unknown option '-z' of 'kc run'; allowed are --profile"),
        (["run", "--profile"], "'kc run' cannot be called like this: Option '--profile' requires"),
        (["status", "a", "b", "c"], "'kc status' cannot be called like this: Got unexpected"),
        (["facts", "--keep=yes"], "'kc facts' cannot be called like this: Option '--keep' does"),
        (["base", "--out", "x"], "'kc base' needs RUN_DIR; 'kc base --help' says what that is."),
        (["reference", "x"], "'kc reference' needs --out; "),
        (["facts", "--pairs", "x"], "--pairs 'x' is not possible; allowed are whole numbers."),
        (["facts", "--pairs", "1.5"], "--pairs '1.5' is not possible; allowed are whole numbers."),
        (["run", "--patience", "soon"], "--patience 'soon' is not possible; allowed are numbers."),
        (["run", "--patience", "0"], "--patience '0' is not possible; allowed are numbers from 0."),
        (
            ["run", "--patience", "1e9"],
            "--patience '1e9' is not possible; allowed are numbers up to 1,000,000.",
        ),
        (
            ["run", "--profile", "smoke", "--set", "seed=1", "--set", "seed=2", "--profile=tiny"],
            "--profile is given 2 times; allowed is once.",
        ),
        (["sweep", "--no-experiments", "--experiments"], "--experiments is given 2 times"),
        (["facts", "--steps", "9" * 5000], "--steps '9999"),
    ],
    ids=lambda value: " ".join(value)[:30] if isinstance(value, list) else "",
)
def test_a_mistake_of_usage_is_one_sentence(words: list[str], said: str, capsys) -> None:
    assert outcome(lambda: app(words)) == 2
    out, err = capsys.readouterr()
    assert (out, len(err.splitlines())) == ("", 1)
    assert err.startswith(f"kc: {said}") and err.endswith(".\n")


MUCH = "99999999999"


@pytest.mark.parametrize(
    ("words", "option"),
    [
        *((["benchmark", option, MUCH], option) for option in (
            "--pairs", "--steps", "--seeds", "--batch-size")),
        (["benchmark", "--model", "x", "--polish", MUCH], "--polish"),
        (["benchmark", "--seed", MUCH + MUCH], "--seed"),
        (["benchmark", "--model", "x", "--polish", "0"], "--polish"),
        (["draw", "x.json", "--top", MUCH], "--top"),
        (["parity", "x", "--steps", MUCH], "--steps"),
        *((["run", "--patience", text], f"--patience '{text}'") for text in ("inf", "nan", "-1")),
        (["run", "--patience", MUCH], "--patience"),
        (["sweep", "--no-compute", "--seeds", MUCH], "--seeds"),
        (["sweep", "--workers", MUCH], "--workers"),
        *((["sweep", "--no-compute", "--seed-list", seeds], "--seed-list") for seeds in (
            "²", "010", "٣", ",".join(map(str, range(10_001))))),
        *((["facts", "--model", "x", "--facts", "y", option, MUCH + MUCH], option) for option in (
            "--pairs", "--steps", "--seed", "--batch-size")),
        (["facts", "--model", "x", "--facts", "y", "--top-share", "nan"], "--top-share"),
    ],
    ids=lambda value: " ".join(value)[:30] if isinstance(value, list) else "",
)  # fmt: skip
def test_no_number_is_without_bounds(words: list[str], option: str, capsys) -> None:
    assert outcome(lambda: app(words)) == 2
    out, err = capsys.readouterr()
    assert (out, len(err.splitlines())) == ("", 1)
    assert err.startswith(f"kc: {option} ") and " allowed" in err and len(err) < 500


def test_a_home_that_the_shell_leaves_is_written_out(tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    graph = Graph(1, 1)
    scores = {"all": torch.from_numpy(graph.real_edges.astype("float32"))}
    write_scores(tmp_path / "home" / "x.safetensors", scores, graph)
    words = ["draw", "~/x.safetensors", "--out=~/y.html", f"--top={graph.n_edges}"]
    assert outcome(lambda: app(words)) == 0
    assert str(tmp_path / "home" / "y.html") in capsys.readouterr().out.replace("\n", "")
    assert [path.name for path in tmp_path.iterdir()] == ["home"]
    assert outcome(lambda: app(["draw", "~nobody-here/x.json"])) == 2
    assert "there is no such user" in capsys.readouterr().err


def test_without_words_the_help_is_shown(capsys) -> None:
    outcome(lambda: app([]))
    said = "".join(capsys.readouterr())
    assert "Usage" in said and "import-world" in said
