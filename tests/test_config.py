"""Configuration: what is refused, and with which sentence."""

from __future__ import annotations

import shlex

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kc_utils.config import Config, build, profiles
from kc_utils.errors import MOST_SHOWN, KcError, in_shell, shown
from kc_utils.study.pipeline import check


@pytest.mark.parametrize("name", list(profiles.PROFILES))
def test_every_profile_is_valid(name: str) -> None:
    assert profiles.load(name).profile == name


def test_overrides_reach_their_place_and_leave_the_rest() -> None:
    settings = profiles.load("tiny", ["training.epochs=5", "circuit.tasks=[city]", "seed=3"])
    assert (settings.training.epochs, settings.circuit.tasks, settings.seed) == (5, ("city",), 3)
    assert settings.world == profiles.load("tiny").world


def test_a_shorter_training_keeps_the_checkpoints_of_the_profile_up_to_its_end() -> None:
    whole = profiles.load("tiny").training.checkpoint_epochs
    cut = profiles.load("tiny", ["training.epochs=5"]).training.checkpoint_epochs
    assert cut == tuple(epoch for epoch in whole if epoch <= 5) and 0 < len(cut) < len(whole)
    assert not profiles.load("tiny", ["training.checkpoint_every=9"]).training.checkpoint_epochs
    asked = ["training.epochs=5", "training.checkpoint_epochs=[7]"]
    with pytest.raises(KcError, match="must ascend and end by epochs=5"):  # control: one's own
        profiles.load("tiny", asked)


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("training.epochs=-1", ["training.epochs", "-1", "greater than or equal to 1"]),
        ("training.epoch=5", ["training.epoch", "training.epochs"]),
        ("profile=x", ["--set 'profile=x' is not possible", "--profile"]),
        ("trainng.epochs=5", ["trainng.epochs", "training"]),
        ("circuit.tasks=[town]", ["town", "city"]),
        ("circuit.tasks=[city, city]", ["circuit.tasks = ['city', 'city']", "each only once"]),
        ("circuit.tasks=[]", ["circuit.tasks = []", "at least one"]),
        ("circuit.bands=[]", ["circuit.bands = []", "at least one"]),
        ("circuit.bands=[high, high]", ["circuit.bands = ['high', 'high']", "each only once"]),
        ("forgetting.replay_ratios=[]", ["forgetting.replay_ratios = []", "at least one"]),
        ("forgetting.replay_ratios=[0.5, 0.5]", ["[0.5, 0.5]", "each only once"]),
        ("forgetting.variants=[]", ["forgetting.variants = []", "at least one"]),
        ("forgetting.variants=[conflicting, conflicting]", ["each only once"]),
        ("training.learning_rate=0", ["learning_rate", "greater than 0"]),
        ("world.share_known=1.5", ["share_known", "1.5"]),
        ("model.n_heads=3", ["n_heads=3", "128"]),
        ("training.block_size=4096", ["4096", "n_positions"]),
        ("training.epochs", ["--set", "section.key=value"]),
        ("training.epochs=many", ["training.epochs", "many"]),
        ("training.epochs=²", ["training.epochs", "²"]),
        ("training.epochs=" + "9" * 5000, ["training.epochs", "999"]),
        ("circuit.tasks=[city", ["circuit.tasks", "'[city'", "no list"]),
        ("circuit.tasks=" + "[" * 100_000, ["circuit.tasks", "no list"]),
        ("circuit.tasks=[" + "9" * 5000 + "]", ["circuit.tasks", "no list"]),
        ("circuit.tasks=[0x" + "f" * 5000 + "]", ["circuit.tasks", "0xff"]),
        ("world.known_names=!!timestamp x", ["world.known_names", "timestamp"]),
        ("seed=18446744073709551616", ["seed", "18446744073709551616", "less than"]),
        ("training.learning_rate=.inf", ["learning_rate", "finite"]),
        ("model.n_layers=1000000000", ["n_layers", "1000000000", "1000"]),
        ("model.d_model=1000000", ["parameters", "at most"]),
        ("model.path=DIR", ["model.path", "'DIR'", "no effect", "model.source"]),
        ("seed=010", ["'seed' = '010' is not possible", "leading zeros"]),
        ("seed=0x10", ["'0x10' is not possible", "decimal"]),
        ("seed=1_000", ["'1_000' is not possible", "underscores"]),
        ("seed=1:30", ["'1:30' is not possible", "colons"]),
        ("seed=٣", ["'٣' is not possible", "decimal"]),
        ("seed=true", ["'seed' = True is not possible", "a number is needed"]),
        ("training.learning_rate=01e-4", ["'01e-4' is not possible", "leading zeros"]),
        ("training.checkpoint_epochs=[1, 02]", ["'02' is not possible", "leading zeros"]),
    ],
    ids=lambda value: value[:30] if isinstance(value, str) else "",
)
def test_a_bad_override_is_one_sentence_with_value_and_allowed(override: str, words: list) -> None:
    with pytest.raises(KcError) as caught:
        profiles.load("tiny", [override])
    message = str(caught.value)
    assert "\n" not in message
    assert message.endswith(".")
    assert all(word in message for word in words), message
    assert len(message) < 1000


def test_numbers_mean_what_they_look_like_and_texts_may_look_like_numbers() -> None:
    def found(key: str, text: str) -> object:
        section, _, name = key.rpartition(".")
        settings = profiles.load("smoke", [f"{key}={text}"])
        return getattr(getattr(settings, section) if section else settings, name)

    for text, number in (("10", 10), ("+7", 7), ("1e3", 1000), ("'5'", 5), (" 0 ", 0)):
        assert found("seed", text) == number
    for text, number in ((".5", 0.5), ("1e-4", 1e-4), ("1E-1", 0.1), ("1.", 1.0)):
        assert found("training.learning_rate", text) == number
    for text in ("010", "1e5", "0x10", "2020-01-01", "no", "607e3"):
        assert found("base.given", text) == text
    assert found("base.given", "null") is None
    assert found("circuit.bos", "no") is False


#: Largest values, and one above; a million of anything, unless something smaller is said here.
_MOST = {
    "seed": 2**63 - 1, "model.n_layers": 1000, "world.mean_frequency": 1000,
    "base.texts_per_person": 10_000, "training.epochs": 10_000, "training.weight_decay": 1000,
    "training.learning_rate": 1, "circuit.steps": 10_000, "circuit.top_n": 10**8,
    "circuit.random_circuits": 10_000, "analysis.bootstrap": 100_000,
    "analysis.exact_max_edges": 10**8, "exposure.exposures": 10_000,
}  # fmt: skip


def _numbers() -> list[str]:
    """Keys of all settings that are one number."""
    sections = profiles.load("tiny").model_dump()
    pairs = [
        (f"{name}.{key}" if isinstance(values, dict) else name, value)
        for name, values in sections.items()
        for key, value in (values if isinstance(values, dict) else {"": values}).items()
    ]
    return [k for k, v in pairs if isinstance(v, int | float) and not isinstance(v, bool)]


@pytest.mark.parametrize("key", [*_numbers(), "circuit.top_n"])
def test_every_number_has_a_largest_value(key: str) -> None:
    # Any finite length of a gradient may be the longest, and any finite number stand in a divisor.
    free = ("training.max_grad_norm", "training.epsilon", "analysis.role_ratio")
    for value in ("1e400", "1e999", "inf") if key in free else (str(_MOST.get(key, 10**6) + 1),):
        with pytest.raises(KcError, match=r"less than|finite"):
            profiles.load("tiny", [f"{key}={value}"])


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["world.n_people=1000000", "world.mean_frequency=11"], ["biographies", "10,000,000"]),
        (["world.mean_frequency=99", "forgetting.n_people=200000"], ["forgetting.n_people=200000"]),
        (["base.n_known=100000", "base.texts_per_person=101"], ["10,100,000 texts", "10,000,000"]),
        (["model.n_heads=64", "model.n_kv_heads=64", "model.n_layers=1000"], ["places for edges"]),
        (["training.beta2=1"], ["beta2 = 1", "less than 1"]),
    ],
)
def test_what_would_ask_for_all_memory_is_refused(overrides: list[str], words: list[str]) -> None:
    with pytest.raises(KcError) as caught:
        profiles.load("smoke", ["model.d_model=64", *overrides])
    assert all(word in str(caught.value) for word in words), caught.value


def test_settings_that_nothing_reads_are_refused_and_others_are_not() -> None:
    own = ["model.source=folder", "model.path=DIR"]
    assert profiles.load("smoke", own).model.path == "DIR"
    assert profiles.load("smoke", ["model.path=null", "base.passes=2"]).base.passes == 2
    for idle in ("model.n_layers=3", "base.passes=2", "base.given=shipped"):
        with pytest.raises(KcError, match=r"has no effect with model\.source = 'folder'"):
            profiles.load("smoke", [*own, idle])


def test_the_largest_seed_is_a_signed_number_of_64_bits() -> None:
    assert profiles.load("tiny", [f"seed={2**63 - 1}"]).seed == 2**63 - 1


def test_a_huge_value_is_cut_in_messages() -> None:
    for value in ("x" * 10**8, ["y" * 10**6] * 100, 10**5000, [10**5000]):
        assert len(shown(value)) <= MOST_SHOWN
    for value in ("x" * 10**8, ["y" * 10**6] * 100):
        with pytest.raises(KcError) as caught:
            build({"training": {"epochs": value}})
        assert len(str(caught.value)) < 2 * MOST_SHOWN


def test_short_values_are_quoted_whole() -> None:
    assert [shown(v) for v in ("a'b", 7, [1, "x"], None)] == ['"a\'b"', "7", "[1, 'x']", "None"]


def test_unknown_profile_names_the_known_ones() -> None:
    with pytest.raises(KcError, match=r"'huge'.*tiny.*gpt2"):
        profiles.load("huge")


@given(st.text(min_size=1, max_size=12))
def test_no_unknown_key_is_ever_accepted(key: str) -> None:
    if key.strip() in Config.model_fields or "=" in key:
        return
    with pytest.raises(KcError):
        profiles.load("smoke", [f"{key}=1"])


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["circuit.top_n=100000"], ["circuit.top_n = 100000", "edges"]),
        (["world.n_people=6"], ["band", "world.n_people"]),
        (["model.source=folder", "model.path=nowhere"], ["nowhere", "model.path"]),
        (["model.source=package", "model.path=os"], ["Unknown model package 'os'", "allowed are"]),
    ],
)
def test_preflight_refuses_what_cannot_work(overrides: list[str], words: list[str]) -> None:
    check(profiles.load("smoke"))
    with pytest.raises(KcError) as caught:
        check(profiles.load("smoke", overrides))
    assert all(word in str(caught.value) for word in words)


def test_paper_profiles_carry_the_paper_numbers() -> None:
    table = {
        "gpt2": (1024, 16, 1e-3, 25, 8_000),
        "gpt2-medium": (1024, 8, 1e-3, 15, 20_000),
        "tinyllama": (2048, 2, 4e-5, 10, 50_000),
        "phi-1.5": (1024, 2, 2e-4, 7, 50_000),
    }
    for name, (block, batch, rate, epochs, top_n) in table.items():
        c = profiles.load(name)
        t = c.training
        assert (t.block_size, t.batch_size, t.learning_rate, t.epochs) == (
            block,
            batch,
            rate,
            epochs,
        )
        assert (t.accumulation, t.devices, c.circuit.top_n) == (4, 2, top_n)
        assert (t.beta1, t.beta2, t.epsilon, t.weight_decay) == (0.9, 0.95, 1e-6, 0.1)
        assert (c.world.n_people, c.world.mean_frequency, c.circuit.n_pairs) == (50_000, 2.5, 300)


@pytest.mark.parametrize(
    ("name", "overrides"),
    [
        ("smoke", []),
        ("smoke", ["seed=3", "circuit.top_n=12", "circuit.tasks=[city]"]),
        ("smoke", ["training.epochs=2", "model.path=null"]),
        ("smoke", ["world.share_known=0.5", "base.given=/a folder/of 'mine'"]),
        # Records leave these out where they have their default: here and in the profile.
        ("smoke", ["training.precision=mixed", "world.imported=x"]),
        ("smollm2", ["training.precision=float32", "world.share_strange=0"]),
    ],
)
def test_the_command_for_a_run_says_what_differs_from_its_profile(
    name: str, overrides: list[str]
) -> None:
    settings = profiles.load(name, overrides)
    words = shlex.split(profiles.command(settings, "/my runs/ü"))
    assert words[:6] == ["kc", "run", "--profile", name, "--run-dir", "/my runs/ü"]
    assert words[6::2] == ["--set"] * len(words[7::2])
    assert profiles.load(name, words[7::2]) == settings, "as 'kc run' would read it"


def test_a_path_is_quoted_where_it_has_to_be() -> None:
    paths = ("runs/tiny", "my runs/x", "a'b", 'a "b" $c', "ü")
    assert [shlex.split(in_shell(path)) for path in paths] == [[path] for path in paths]
    assert (in_shell("runs/tiny"), in_shell("my runs")) == ("runs/tiny", '"my runs"')
