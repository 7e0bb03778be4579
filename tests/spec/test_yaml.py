"""Every mistake in a spec is one clear message with file, line, value and fix."""

from pathlib import Path

import pytest

from w2s_ray.spec import SpecError, yaml

QUICKSTART = Path(__file__).parents[2] / "sweeps" / "quickstart.yaml"


def message_after(old: str, new: str) -> str:
    text = QUICKSTART.read_text(encoding="utf-8")
    assert text.count(old) >= 1, f"{old!r} is not in the quickstart any more"
    with pytest.raises(SpecError) as caught:
        yaml.parse(text.replace(old, new, 1), "sweep.yaml")
    return str(caught.value)


@pytest.mark.parametrize("path", sorted(QUICKSTART.parent.glob("*.yaml")), ids=lambda path: path.name)
def test_every_ready_sweep_is_valid_and_survives_a_round_trip(path: Path) -> None:
    for sweep in yaml.load_all(path).sweeps:
        assert yaml.parse(yaml.dump(sweep)) == sweep


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("trials: 24", "trails: 24", ["search.trails", "unknown key", "did you mean 'trials'?"]),
        ("depth: 0,", "depht: 0,", ["models.minilm-0.depht", "did you mean 'depth'?"]),
        ("trials: 24", "trials: many", ["search.trials", "integer", "'many'"]),
        ("trials: 24", "trials: 0", ["search.trials", "greater than or equal to 1", "got 0"]),
        ("lr: 1e-3", "lr: -1", ["baseline.lr", "greater than 0", "got -1"]),
        ("[2e-4, 1e-2]", "[1e-2, 2e-4]", ["space.lr", "empty", "write [0.0002, 0.01]"]),
        ("[2e-4, 1e-2]", "[1e-2, 1e-2]", ["space.lr", "never varies", "plain value"]),
        ("[2e-4, 1e-2]", "[0, 1e-2]", ["space.lr", "log range starts above 0"]),
        ("uniform: [0, 0.9]", "uniform: [0, 1.9]", ["space.alpha", "less than or equal to 1", "got 1.9"]),
        ("uniform: [0, 0.9]", "choice: [0.5]", ["space.alpha", "two different values"]),
        ("{uniform: [0, 0.9],", "{uniform: [0, 0.9], choice: [1, 2],", ["space.alpha", "exactly one of"]),
        ("lr: {log", "lrr: {log", ["space.lrr", "not defined", "did you mean 'lr'?"]),
        ("method: confidence", "method: naive", ["space.alpha.when.method", "naive has no parameter 'alpha'"]),
        ("method: confidence", "method: konfidence", ["'konfidence' is not defined", "did you mean 'confidence'?"]),
        ("weak: minilm-0, strong: minilm-4", "weak: minilm-9, strong: minilm-4", ["pairings.0.weak", "'minilm-9'"]),
        ("weak: minilm-0, strong: minilm-4", "weak: minilm-4, strong: minilm-4", ["cannot supervise itself"]),
        ("intermediates: [minilm-1, minilm-2]", "intermediates: []", ["bootstrap needs intermediate models"]),
        ("methods: [naive", "methods: [naivee", ["methods.naivee", "did you mean 'naive'?"]),
        ("seeds: [0, 1, 2]", "seeds: [0, 1, 1]", ["seeds", "twice", "no evidence"]),
        ("name: quickstart", "name: ../quick", ["name", "letters, digits", "'../quick'"]),
        ("name: quickstart", "title: quickstart", ["name", "required but missing"]),
        ("objective: oracle", "objective: oracel", ["objective", "'oracle' or 'weak'", "'oracel'"]),
        ("seed: 0}", "seed: 0, seed: 3}", ["duplicate key"]),
        ("splits: {weak: 1500, ", "splits: {weak: -5, ", ["task.splits.weak", "-5"]),
    ],
)
def test_a_mistake_is_named_with_file_line_value_and_fix(old: str, new: str, said: list[str]) -> None:
    message = message_after(old, new)
    line = QUICKSTART.read_text(encoding="utf-8").split(old)[0].count("\n") + 1
    for part in said:
        assert part in message
    assert f"sweep.yaml:{line}: " in message


def test_grid_search_over_a_continuous_range_is_refused_where_the_range_stands() -> None:
    assert "space.lr: grid search cannot visit" in message_after("sampler: tpe", "sampler: grid")


def test_a_parameter_that_no_loss_of_the_chain_uses_is_refused_and_one_that_a_loss_uses_is_not() -> None:
    chain = "chain_length: {int: [1, 2], when: {method: bootstrap}}"
    said = message_after(chain, f"{chain}\n  q: {{uniform: [0.1, 0.9]}}")
    assert "space.q: no loss of the chain uses 'q'; set loss or intermediate.loss to one that does" in said
    text = QUICKSTART.read_text(encoding="utf-8")
    loss = "loss: {choice: [cross-entropy, generalised-cross-entropy]}"
    yaml.parse(text.replace(chain, f"{chain}\n  q: {{uniform: [0.1, 0.9]}}\n  {loss}"))


def test_an_option_of_another_way_to_train_is_refused_with_the_way_it_belongs_to() -> None:
    said = message_after("depth: 0,", "depth: 0, lora_rank: 4,")
    assert "lora_rank belongs to train: lora, but this model has train: head" in said
    assert "l2 belongs to train: " in message_after("depth: 0,", "depth: 0, train: knn, l2: 0.1,")


def test_a_model_that_is_fitted_at_once_cannot_learn_by_a_loss_that_rises() -> None:
    text = QUICKSTART.read_text(encoding="utf-8")
    depth = "depth: 5,"
    assert depth in text
    said = message_after(depth, f"{depth} train: logistic,")
    assert "'minilm-5' is fitted at once (train: logistic), so it cannot learn by confidence" in said
    assert "naive" not in said


def test_a_space_of_constants_never_varies() -> None:
    text = QUICKSTART.read_text(encoding="utf-8")
    head, tail = text.split("space:\n")[0], text.split("\nseeds:")[1]
    with pytest.raises(SpecError, match="never varies: it holds constants alone"):
        yaml.parse(f"{head}space:\n  lr: 0.001\nseeds:{tail}")


def test_without_a_space_more_trials_than_pairings_times_methods_are_refused() -> None:
    text = QUICKSTART.read_text(encoding="utf-8")
    head, tail = text.split("space:\n")[0], text.split("\nseeds:")[1]
    with pytest.raises(SpecError, match="24 trials, but without a space only 9 differ"):
        yaml.parse(f"{head}seeds:{tail}")


def test_all_mistakes_are_listed_at_once() -> None:
    text = QUICKSTART.read_text(encoding="utf-8")
    text = text.replace("trials: 24", "trails: 24").replace("depth: 0,", "depht: 0,")
    with pytest.raises(SpecError) as caught:
        yaml.parse(text)
    assert len(caught.value.problems) == 2


def test_numbers_in_scientific_notation_are_numbers() -> None:
    assert yaml.load(QUICKSTART).models["minilm-0"].baseline.lr == 0.001


@pytest.mark.parametrize(
    ("written", "classes"),
    [("[no, yes, 3]", ("no", "yes", "3")), ("[true, false]", ("true", "false")), ("3", 3), ("null", None)],
)
def test_classes_are_names_as_text_or_a_number(written: str, classes: object) -> None:
    sweep = yaml.parse(QUICKSTART.read_text(encoding="utf-8").replace("task:\n", f"task:\n  classes: {written}\n", 1))
    assert sweep.task.classes == classes
    assert yaml.parse(yaml.dump(sweep)) == sweep


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("[a]", "a task has two classes or more"),
        ("1", "a task has two classes or more, got 1"),
        ("[a, a]", "a task has two classes or more"),
        ("[a, b, a]", "a class is listed twice"),
        ("many", r"list the classes, as in \[good, dull, bad\], or say how many there are, got 'many'"),
    ],
)
def test_classes_that_are_none_are_told(written: str, said: str) -> None:
    with pytest.raises(SpecError, match=rf"task\.classes: {said}"):
        yaml.parse(QUICKSTART.read_text(encoding="utf-8").replace("task:\n", f"task:\n  classes: {written}\n", 1))


def test_a_ladder_is_all_its_pairs_with_the_rungs_between_as_intermediates() -> None:
    text = QUICKSTART.read_text(encoding="utf-8")
    head, tail = text.split("pairings:\n")[0], text.split("\nmethods:")[1]
    ladder = "pairings: {ladder: [minilm-0, minilm-2, minilm-5]}\n"
    methods = "methods: [naive, confidence]" + tail.split("]", 1)[1].replace(
        "  chain_length: {int: [1, 2], when: {method: bootstrap}}\n", ""
    )
    pairings = yaml.parse(head + ladder + methods).pairings
    assert [(p.name, p.intermediates) for p in pairings] == [
        ("minilm-0→minilm-2", ()),
        ("minilm-0→minilm-5", ("minilm-2",)),
        ("minilm-2→minilm-5", ()),
    ]


@pytest.mark.parametrize(
    "content", [b"", b"- a list", b"\xff\xfe", b"a: [1", b"!!python/object:os.system {}", b"a: &a [*a]"]
)
def test_what_is_no_sweep_is_refused_with_the_file_named(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "odd.yaml"
    path.write_bytes(content)
    with pytest.raises(SpecError, match=r"odd\.yaml"):
        yaml.load(path)


def test_a_missing_file_is_one_message(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="cannot be read"):
        yaml.load(tmp_path / "none.yaml")


def test_a_mistake_that_a_merge_brings_in_is_said_where_it_was_written() -> None:
    text = """name: merged
task: {source: tweets, splits: {weak: 20, student: 20, validation: 10}}
models:
  small: &small {source: minilm, depth: 0, max_length: 1}
  large:
    <<: *small
    depth: 2
pairings: [{weak: small, strong: large}]
methods: [naive]
search: {trials: 1}
"""
    with pytest.raises(SpecError) as caught:
        yaml.parse(text, "sweep.yaml")
    assert [line.split(": ")[:2] for line in str(caught.value).splitlines()] == [
        ["sweep.yaml:4", "models.small.max_length"],
        ["sweep.yaml:4", "models.large.max_length"],
    ]


def test_aliases_that_stand_for_billions_of_values_are_refused_at_once(tmp_path: Path) -> None:
    lines = ["a0: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol, lol]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 30)]
    path = tmp_path / "laughs.yaml"
    path.write_text("\n".join(lines), encoding="utf-8")
    for read in (yaml.load, yaml.load_all, yaml.load_cluster):
        with pytest.raises(SpecError, match=r"laughs\.yaml: not valid YAML: its aliases stand for more than"):
            read(path)


def test_nesting_without_end_is_refused_with_the_file_named(tmp_path: Path) -> None:
    path = tmp_path / "deep.yaml"
    for opened in ("[", "{a: "):
        path.write_text(f"a: {opened * 20_000}", encoding="utf-8")
        with pytest.raises(SpecError, match=r"deep\.yaml: not valid YAML"):
            yaml.load(path)


def test_a_group_cannot_need_more_workers_than_it_may_have() -> None:
    text = QUICKSTART.read_text(encoding="utf-8") + "\nresources: {default: {workers: 2, min_workers: 3}}\n"
    with pytest.raises(SpecError, match=r"resources\.default.*min_workers must not be above workers, got 3 and 2"):
        yaml.parse(text, "sweep.yaml")
