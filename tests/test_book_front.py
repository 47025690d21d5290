"""The front page: its words and figures follow the verdicts and the stored sweep."""

from __future__ import annotations

import math
import re
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from ledger_rows import judged, ledgers, main_ledgers, write_sweep

from kc_utils.book import front_answers, front_figure, front_page, front_panels, verdict_marks
from kc_utils.book.ledger_words import without_controls
from kc_utils.plots.controls import signature
from kc_utils.plots.front_panels import size_and_depth
from kc_utils.plots.style import svg_bytes
from kc_utils.runs.dataset import SweepTables
from kc_utils.study.claims.verdicts import HOLDS, NO_EFFECT, OPPOSITE, SMALLER, VERDICTS
from kc_utils.study.ledger import CLAIMS
from kc_utils.study.sweep_ledger import ledger_of

ROOT = Path(__file__).resolve().parent.parent
ANSWERED = [answer.id for answer in front_answers.ANSWERS]
#: Claims of difference with an answer: an effect of so many margins gives this verdict.
EFFECTS = {HOLDS: 3.0, SMALLER: 0.5, NO_EFFECT: 0.0, OPPOSITE: -3.0}


def test_every_answer_is_a_main_claim_of_difference() -> None:
    known = {claim.id: claim for claim in CLAIMS}
    assert all(known[name].main and known[name].direction != "equal" for name in ANSWERED)
    assert 3 <= len(ANSWERED) <= 6
    assert 10 <= sum(claim.main for claim in CLAIMS) <= 14  # the dozen that matter


@pytest.mark.parametrize("verdict", EFFECTS)
def test_the_answer_follows_the_verdict(verdict: str) -> None:
    said = front_answers.findings(judged(main_ledgers(EFFECTS[verdict])))
    for answer in front_answers.ANSWERS:
        clauses = {v: answer.clause(v) for v in VERDICTS}
        assert len(set(clauses.values())) == len(VERDICTS)
        line = next(ln for ln in said.splitlines() if answer.number in ln)
        clause = clauses[verdict].lower()
        if verdict == SMALLER:  # intervals of these effects end short of the margin
            clause = clause.replace("though perhaps", "but")
        assert line.lower().startswith(f"- **{clause}** (")
        assert f"The paper: {answer.published}; [chapter " in line


def test_two_seeds_decide_nothing_and_still_show_their_numbers() -> None:
    table = judged(main_ledgers(3, seeds=2))
    said, shown = front_answers.findings(table), front_page.cards(table)
    assert "Seeds computed so far: 2 of `tiny`. Fewer than 3 decide nothing" in said
    assert said.count("**It is open whether") == len(ANSWERED) and ": +0.30)" in said
    assert f"`{HOLDS} (" not in shown and shown.count("(no interval; 2 seeds)") >= len(ANSWERED)


def test_a_profile_with_too_few_seeds_is_named_and_changes_no_answer() -> None:
    enough = judged(main_ledgers(3))
    both = judged(main_ledgers(3), main_ledgers(-3, seeds=1, profile="smollm2"))
    said, alone = front_answers.findings(both), front_answers.findings(enough)
    begun = "Too few so far to decide anything: 1 run of SmolLM2-135M ([chapter 9]("
    assert begun in said and "Too few" not in alone
    assert said.splitlines()[:-1] == alone.splitlines()[:-1]
    decided = judged(main_ledgers(3), main_ledgers(-3, seeds=3, profile="smollm2"))
    told = front_answers.findings(decided)
    assert "Trained further: 3 runs of SmolLM2-135M (`smollm2`)" in told
    assert "Too few" not in told and "in SmolLM2-135M" in told


def test_profiles_that_disagree_stand_in_one_sentence_and_one_card() -> None:
    both = judged(main_ledgers(3), main_ledgers(-3, profile="tiny-llama"))
    said = front_answers.sentence(front_answers.ANSWERS[0], both)
    first, other = (front_answers.ANSWERS[0].clause(v) for v in (HOLDS, OPPOSITE))
    one, two = "models built like GPT-2", "models built like Llama"
    assert said.startswith(f"**In {one}, {first}; in {two}, {other}** (")
    assert ": GPT-2-like +0.30, Llama-like -0.30). The paper: " in said
    card = front_page.cards(both).split(":::{grid-item-card}")[1]
    assert (
        f"GPT-2-like: [{{abbr}}`{HOLDS} (" in card and f"Llama-like: [{{abbr}}`{OPPOSITE} (" in card
    )


def test_models_that_agree_more_or_less_clearly_stand_in_one_sentence() -> None:
    little = main_ledgers(0.9, profile="smollm2")  # the margin is 0.1, inside of its interval
    little["value"] += np.tile([0.0, 0.03, -0.03, 0.0], len(little) // 4)
    certain = main_ledgers(0.5, profile="tiny-llama")
    answer = front_answers.ANSWERS[0]
    said = front_answers.sentence(answer, judged(little, certain, main_ledgers(3)))
    common = answer.common[0].upper() + answer.common[1:]
    assert said.startswith(
        f"**{common}: clearly in models built like GPT-2, perhaps by too little to matter in "
        "SmolLM2-135M, by too little to matter in models built like Llama** ("
    )
    shuffled = main_ledgers(3, profile="tiny-shuffled")
    also = judged(little, main_ledgers(3), shuffled)
    told = front_answers.sentence(answer, without_controls(also))
    assert "the same shows where nothing could be learned" in told, "this is not left out"


def test_what_is_open_in_one_model_is_not_told_twice() -> None:
    answer, unclear = front_answers.ANSWERS[0], main_ledgers(0, profile="smollm2")
    clause = answer.clause(HOLDS)
    unclear["value"] += np.tile([3.0, -3.0, 3.0, -3.0], len(unclear) // 4)
    for frames in ((main_ledgers(3), unclear), (unclear, main_ledgers(3))):
        said = front_answers.sentence(answer, judged(*frames))
        assert said.startswith(
            f"**In models built like GPT-2, {clause}; in SmolLM2-135M this is open** "
        )
    alone = front_answers.sentence(answer, judged(unclear))
    assert alone.startswith(f"**It is open whether {answer.question}**")


def test_a_finding_that_needs_no_knowledge_says_so() -> None:
    real, shuffled = main_ledgers(3), main_ledgers(3, profile="tiny-shuffled")
    table = judged(real, shuffled)
    told = front_answers.findings(without_controls(table))
    assert told.count("the same shows where nothing could be learned") == len(ANSWERED)
    assert "With nothing to learn +0.3" in front_page.cards(table)
    assert "the same shows" not in front_answers.findings(judged(real))


def test_an_opposite_that_may_be_too_small_to_matter_says_so() -> None:
    def told(mean: float) -> str:
        rows = main_ledgers(mean)  # the margin is 0.1, a step of it between seeds
        rows["value"] += np.tile([0.0, 0.03, -0.03, 0.0], len(rows) // 4)
        return front_answers.sentence(front_answers.ANSWERS[0], judged(rows))

    little = ", though perhaps by too little to matter**"
    assert front_answers.ANSWERS[0].opposite in told(-1.2).lower() and little in told(-1.2)
    assert little not in told(-3)


def test_a_real_effect_is_perhaps_or_certainly_too_small_to_matter() -> None:
    def told(mean: float) -> str:
        rows = main_ledgers(mean)  # the margin is 0.1
        rows["value"] += np.tile([0.0, 0.03, -0.03, 0.0], len(rows) // 4)
        return front_answers.sentence(front_answers.ANSWERS[0], judged(rows))

    assert "though perhaps by too little to matter**" in told(0.9)  # the margin is inside
    assert "but by too little to matter**" in told(0.5) and "perhaps" not in told(0.5)


@pytest.mark.parametrize(
    ("number", "told"), [(-0.0004, "0.000"), (0.0, "0.000"), (-0.0006, "-0.001"), (0.25, "+0.25")]
)
def test_a_number_that_rounds_to_zero_has_no_sign(number: float, told: str) -> None:
    assert verdict_marks.short(number, "+") == told


def test_how_long_forgetting_was_followed_is_told() -> None:
    at = ((0, 1.0), (150, 0.5), (300, 0.6))  # step and overlap: it falls and comes back
    rows = [("tiny", "new_people", 0.1, step, step / 1000, overlap) for step, overlap in at]
    rows += [("tiny", "new_people", 0.0, 300, 0.9, 0.1), ("tiny", "drift", 0.1, 300, 0.9, 0.1)]
    names = ["profile", "variant", "ratio", "step", "accuracy_new", "edge_jaccard"]
    table = pd.DataFrame(rows, columns=names).assign(seed=0)
    said = "Followed for 300 steps (accuracy on the new facts by then 0.30)."
    assert front_answers.of_steps(table) == said
    both = pd.concat([table, table.query("step < 200").assign(profile="smollm2")])
    told = "and 150 steps in SmolLM2-135M (accuracy on the new facts by then 0.15)"
    assert told in front_answers.of_steps(both)
    llama = table.assign(profile="tiny-llama", accuracy_new=table["accuracy_new"] + 0.05)
    told = "300 steps in models built like GPT-2 or Llama (accuracy on the new facts by then 0.30"
    assert f"{told} and 0.35)" in front_answers.of_steps(pd.concat([table, llama]))
    assert f"{told})" in front_answers.of_steps(
        pd.concat([table, table.assign(profile="tiny-llama")])
    )
    assert front_answers.of_steps(table.iloc[:0]) == ""
    ledger = judged(main_ledgers(3))
    lines = front_answers.findings(ledger, {"circuit-returns": said}).splitlines()
    (last,) = (line for line in lines if line.endswith(said))
    assert "edge overlap regained" in last and said not in front_answers.findings(ledger)


def test_circuits_that_were_still_moving_away_at_the_end_are_told() -> None:
    """A curve that is lowest at its end cannot show a return; "no return" alone says too much."""
    at = [(s, step, 1 - step / 600) for s in range(3) for step in (0, 150, 300)]
    falling = pd.DataFrame(at, columns=["seed", "step", "edge_jaccard"])
    falling = falling.assign(profile="tiny", variant="new_people", ratio=0.1, accuracy_new=0.2)
    said = front_answers.of_steps(falling)
    assert "in 3 of 3 runs the circuit was then farther from its start than ever before" in said
    assert said.endswith("a later return is not ruled out.")
    back = falling["seed"].eq(0) & falling["step"].eq(300)
    falling.loc[back, "edge_jaccard"] = 0.9
    assert "in 2 of 3 runs" in front_answers.of_steps(falling)


def test_a_card_for_every_main_claim_and_no_other() -> None:
    table = judged(main_ledgers(3), ledgers([0.5] * 3, id="b", claim="Beside the point"))
    text = front_page.cards(table)
    main = [claim for claim in CLAIMS if claim.main]
    assert text.count("{grid-item-card}") == len(main) and "Beside the point" not in text
    assert all(claim.claim in text and claim.paper in text for claim in main)
    assert re.findall(r"\.verdict-[\w-]+", text).count(".verdict-holds") >= len(ANSWERED)
    css = (ROOT / "book" / "_static" / "book.css").read_text()
    for verdict in VERDICTS:
        name = verdict.replace(",", "").replace(" ", "-")
        assert css.count(f".verdict-{name} ") == 2  # in the light and in the dark theme


def test_few_cards_stand_open_and_the_others_are_counted() -> None:
    text = front_page.cards(judged(main_ledgers(3)))
    main = {claim.id: claim.claim for claim in CLAIMS if claim.main}
    assert set(ANSWERED) <= set(front_page.SHOWN) <= set(main)
    shown, fold, rest = text.partition(":::::{dropdown} ")
    assert fold and rest.startswith(f"The other {len(main) - len(front_page.SHOWN)} main claims")
    titles = [shown.index(main[name]) for name in front_page.SHOWN]
    assert titles == sorted(titles) and 6 <= len(titles) <= 8
    assert all(words in rest for name, words in main.items() if name not in front_page.SHOWN)


def test_a_claim_that_was_not_measured_says_why() -> None:
    row = judged(main_ledgers(3)).iloc[0].to_dict()
    row |= {"difference": math.nan, "note": "No such heads."}
    assert front_page.numbers(row) == "No such heads."


def _sweep(folder: Path, seeds: int, profiles: tuple[str, ...]) -> SweepTables:
    """A data set from which the front page can be written."""
    at = list(product(profiles, range(seeds), range(5)))
    base = pd.DataFrame(at, columns=["profile", "seed", "epoch"]).astype({"epoch": float})
    cells = pd.DataFrame({"task": "city", "kind": ["K_rel", "K_compl"], "band": "high"})
    curves = base.merge(cells, how="cross")
    read = curves.assign(value=0.2 * curves["epoch"], band="all", wording="read")
    topology = curves.assign(entropy_kept=6 - curves["epoch"], entropy=7.0, n_edges=600)
    names = pd.DataFrame({"control": ["shuffled labels", "untrained", "random"]})
    controls = curves.merge(names, how="cross").assign(entropy_kept=6.0, entropy=7.0, n_edges=600)
    bends = curves[curves["epoch"] == 0].drop(columns="epoch")
    bends = bends.assign(quantity="entropy_kept", onset=np.nan, knee=2.0 + bends["seed"])
    evidence = pd.concat([main_ledgers(3, seeds, profile) for profile in profiles])
    return SweepTables.open(write_sweep(
        folder, evidence=evidence, accuracy_read=read, topology=topology,
        control_curves=controls, shift=bends,
    ))  # fmt: skip


@pytest.mark.slow
def test_a_sweep_gives_all_parts_and_the_same_bytes(tmp_path: Path) -> None:
    assert front_page.pages(tmp_path) == {}  # no sweep, no findings
    _sweep(tmp_path, 2, ("tiny", "tiny-shuffled"))
    pages = front_page.pages(tmp_path)
    assert set(pages) == {
        "findings.md", "cards.md", "controls.md", "signature.md", "signature.svg",
        "size_and_depth.md",
    }  # fmt: skip
    assert pages == front_page.pages(tmp_path)
    assert "tiny-shuffled" not in pages["findings.md"] + pages["cards.md"] + pages["signature.md"]
    assert "there are 2 runs with shuffled answers so far" in pages["controls.md"]
    assert "in grey, whole runs" in pages["signature.md"]
    assert "0 of 4 have an onset and 4 a knee" in pages["signature.md"]
    assert "GPT-2-like models" in pages["signature.md"]
    assert "the paper has it: [{abbr}`open (" in pages["signature.md"]


def test_the_figure_shows_real_profiles_with_their_shuffled_runs(tmp_path: Path) -> None:
    sweep = _sweep(tmp_path, 3, ("tiny", "tiny-llama", "tiny-shuffled"))
    curves = front_figure.curves(sweep)
    assert set(curves["profile"]) == {"tiny", "tiny-llama"}
    grey = curves[curves["series"] == "shuffled run"]
    assert set(grey["profile"]) == {"tiny"} and set(grey["quantity"]) == {"accuracy", "entropy"}
    entropy = curves[(curves["series"] == "own") & (curves["profile"] == "tiny")]
    assert entropy["value"].iloc[0] == pytest.approx(6 / math.log(600))  # of n edges at most ln n
    bends = front_figure.bends(sweep).set_index(["profile", "bend"])
    assert bends.loc[("tiny", "knee")].tolist() == [3.0, 2.0, 4.0]  # mean, first and last seed
    assert "onset" not in bends.index.get_level_values("bend")  # none is decided


@pytest.mark.slow
def test_size_and_depth_come_from_the_stored_sweep() -> None:
    sweep = SweepTables.open(ROOT / "book" / "reference" / "sweep")
    pages = front_panels.pages(sweep, without_controls(ledger_of(sweep)))
    assert pages["size_and_depth.md"].count("{.verdict ") >= 3
    curves = front_panels.curves(sweep).set_index(["picture", "series", "x"])["value"]
    assert curves["size"]["own"].iloc[-1] == pytest.approx(1, abs=1e-3)  # all edges
    assert curves["size"]["own"].iloc[0] < 0.5 > curves["size"]["random"].iloc[0]
    assert set(curves["depth"].index.get_level_values("series")) >= {"own", "random"}
    assert pages == front_panels.pages(sweep, without_controls(ledger_of(sweep)))


def test_the_size_of_the_study_is_marked_and_profiles_have_rows() -> None:
    rows = [(p, picture, "own", x, 0.5) for p in ("a", "b")
            for picture in ("size", "depth") for x in (0.1, 1.0)]  # fmt: skip
    frame = pd.DataFrame(rows, columns=["profile", "picture", "series", "x", "value"])
    frame = frame.assign(low=np.nan, high=np.nan)
    chosen = pd.DataFrame({"profile": ["b"], "share": [0.013]})
    axes = size_and_depth(frame, chosen, {"a": 8, "b": 30}).axes
    assert [bool(axis.texts) for axis in axes[::2]] == [False, True]
    assert axes[2].texts[0].get_text() == "1.3% of the edges"
    assert [axes[i].get_ylabel().split()[-1] for i in (1, 3)] == ["7", "29"]


def _curves(n_seeds: int) -> pd.DataFrame:
    rows = [
        (profile, quantity, series, epoch, 0.1 * epoch)
        for profile in ("tiny", "tiny-llama")
        for quantity, names in (("accuracy", ("K_rel", "K_compl")), ("entropy", ("own",)))
        for series in names
        for epoch in range(5)
    ]
    frame = pd.DataFrame(rows, columns=["profile", "quantity", "series", "epoch", "value"])
    half = 0.05 if n_seeds > 2 else np.nan
    return frame.assign(low=frame["value"] - half, high=frame["value"] + half, n_seeds=n_seeds)


@pytest.mark.slow
def test_the_figure_has_bands_only_where_there_are_seeds_enough() -> None:
    none = pd.DataFrame(columns=["profile", "bend", "value", "low", "high"])
    bend = pd.DataFrame([("tiny", "knee", 2.0, 1.5, 2.5)], columns=none.columns)
    few, many = signature(_curves(2), none), signature(_curves(4), bend)
    labels = [{t.get_text() for t in f.legends[0].get_texts()} for f in (few, many)]
    assert "95 % interval over seeds" not in labels[0] and "95 % interval over seeds" in labels[1]
    assert "knee (shaded: all seeds)" in labels[1] - labels[0]
    assert [a.get_title() for a in many.axes[:2]] == ["GPT-2-like, 4 seeds", "Llama-like, 4 seeds"]
    marked = [len(a.patches) for a in many.axes]
    assert marked == [1, 0, 1, 0]  # through both rows of its profile
    assert svg_bytes(many) == svg_bytes(signature(_curves(4), bend))


def test_wide_intervals_of_shuffled_runs_do_not_flatten_the_figure() -> None:
    none = pd.DataFrame(columns=["profile", "bend", "value", "low", "high"])
    wide = _curves(4).query("series == 'own'").assign(series="shuffled run", low=-50.0, high=50.0)
    low, high = signature(pd.concat([_curves(4), wide]), none).axes[2].get_ylim()
    assert -1 < low < 0.0 and 0.4 < high < 1


def _times(strange: float, seeds: int = 3) -> pd.DataFrame:
    """K_rel at epoch 3, K_compl half an epoch later, names of rare tokens ``strange`` later."""
    late = {"K_rel": 0.0, "K_compl": 0.5, "K_strange": strange}
    rows = [(seed, kind, 3 + lag + 0.01 * seed * (kind == "K_strange"))
            for seed in range(seeds) for kind, lag in late.items()]  # fmt: skip
    return pd.DataFrame(rows, columns=["seed", "kind", "epoch"]).assign(profile="smollm2")


def test_the_lead_of_known_people_is_doubted_where_names_explain_it() -> None:
    said = {lag: front_answers.of_names(_times(lag)) for lag in (0.5, -0.01, -0.5)}
    assert "are ahead of strangers" in said[0.5] and "mixed up" not in said[0.5]
    assert "not clearly ahead" in said[-0.01] and "mixed up" in said[-0.01]
    assert "are behind strangers" in said[-0.5] and "mixed up" in said[-0.5]


def test_two_seeds_and_worlds_without_rare_names_say_nothing_of_names() -> None:
    assert front_answers.of_names(_times(0.5, seeds=2)) == ""
    assert front_answers.of_names(_times(0.5).query("kind != 'K_strange'")) == ""
