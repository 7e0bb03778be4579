import pytest

from w2s_ray.spec import Splits, Task
from w2s_ray.stages.artifacts import Examples
from w2s_ray.stages.stage import Execution, LoadExamples
from w2s_ray.tasks import fingerprint, load_examples
from w2s_ray.tasks.sentiment import ALL_CLASSES, SETS, read, read_file

SPLITS = Splits(weak=1500, student=3000, validation=1500)


def load(seed: int = 0, source: str = "movie-reviews", splits: Splits = SPLITS, classes=None):
    task = Task(source=source, splits=splits, seed=seed, classes=classes)
    content, test_source = fingerprint(task)
    settings = LoadExamples(
        source=content,
        test_source=test_source,
        columns=task.columns,
        splits=task.splits,
        classes=task.classes,
        seed=task.seed,
    )
    return load_examples(settings, Execution(source=task.source))


def test_the_quickstart_gets_the_sizes_it_asks_for_balanced_and_every_row_is_accounted_for(movie_reviews):
    examples, summary = load()
    assert summary["rows"] == 10_605
    assert summary["dropped"] == {"neutral: rating within 0.3 of zero": 287, "same text again": 2}
    assert summary["kept"] == 10_605 - 289
    assert summary["splits"] == {"weak": 1500, "student": 3000, "validation": 1500, "test": 3462}
    assert summary["kept"] == sum(summary["splits"].values()) + summary["unused"]
    assert all(count["negative"] == count["positive"] for count in summary["classes"].values())
    assert examples.class_names == ("negative", "positive")
    assert len(set(examples.ids.tolist())) == len(examples.texts) == 9_462


def test_another_seed_is_another_split_and_the_same_seed_the_same(movie_reviews):
    first, again, other = load(0)[0], load(0)[0], load(1)[0]
    assert first.ids.tolist() == again.ids.tolist()
    assert first.splits.tolist() == again.splits.tolist()
    weak = [set(examples.ids[examples.rows("weak")].tolist()) for examples in (first, other)]
    assert 100 < len(weak[0] & weak[1]) < 500  # by chance 1500 * 1500 / 10316 = 218


def test_the_examples_survive_the_store(movie_reviews, tmp_path):
    examples, _ = load()
    examples.write(tmp_path / "examples.parquet")
    read = Examples.read(tmp_path / "examples.parquet")
    assert read.texts == examples.texts
    assert read.classes.tolist() == examples.classes.tolist()


def test_labels_follow_the_ratings(movie_reviews):
    rows = read_file(movie_reviews, SETS["movie-reviews"])
    assert rows[0].label == "positive"
    assert rows[2].label == "negative"
    assert rows[2].text == "Effective but too tepid biopic"


@pytest.mark.parametrize("name", SETS)
def test_the_sets_of_the_archive_hold_what_the_catalogue_says(name, movie_reviews):
    rows = read(name, neutral=True)
    assert len(rows) == SETS[name].rows
    assert not any(row.problem for row in rows)
    assert tuple(sum(row.label == label for row in rows) for label in ALL_CLASSES) == SETS[name].per_class


def test_sentences_of_a_document_stay_together_where_the_set_tells_documents(movie_reviews):
    assert len({row.group for row in read("editorials")}) == 498
    assert len({row.group for row in read("product-reviews")}) == 300
    assert {row.group for row in read("tweets")} == {None}


@pytest.mark.parametrize("name", ["tweets", "product-reviews", "editorials"])
def test_each_is_a_task_of_its_own(name, movie_reviews):
    examples, summary = load(source=name, splits=Splits(weak=200, student=600, validation=200, test=300))
    assert summary["splits"] == {"weak": 200, "student": 600, "validation": 200, "test": 300}
    assert examples.class_names == ("negative", "positive")
    assert all(count["negative"] == count["positive"] for count in summary["classes"].values())


def test_neutral_is_a_class_where_the_task_lists_it(movie_reviews):
    splits = Splits(weak=300, student=600, validation=300, test=300)
    examples, summary = load(source="editorials", splits=splits, classes=ALL_CLASSES)
    assert examples.class_names == ALL_CLASSES
    assert not any("neutral" in reason for reason in summary["dropped"])
    assert summary["classes"]["student"] == {"negative": 200, "neutral": 200, "positive": 200}


def test_lines_that_cannot_be_read_are_named_and_not_guessed(tmp_path):
    path = tmp_path / "rows.txt"
    path.write_bytes(b"1\t2.5\tfine\r\n2\t-1\tcaf\xe9\r\n3\tmuch\tbad number\r\n4\t1\n\n6\t-9\tfar\r\n7\t0.1\tmeh")
    assert [(row.name, row.label, row.problem) for row in read_file(path, SETS["movie-reviews"])] == [
        ("movie-reviews:1", "positive", ""),
        ("movie-reviews:2", None, "not UTF-8"),
        ("movie-reviews:3", None, "not an id, a rating and a text"),
        ("movie-reviews:4", None, "not an id, a rating and a text"),
        ("movie-reviews:6", None, "rating outside [-4, 4]"),
        ("movie-reviews:7", None, "neutral: rating within 0.3 of zero"),
    ]
