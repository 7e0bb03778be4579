from w2s_ray.spec import Splits, Task
from w2s_ray.stages.artifacts import Examples
from w2s_ray.stages.stage import Execution, LoadExamples
from w2s_ray.tasks import fingerprint, load_examples
from w2s_ray.tasks.movie_reviews import read_file

SPLITS = Splits(weak=1500, student=3000, validation=1500)


def load(seed: int = 0):
    task = Task(source="movie-reviews", splits=SPLITS, seed=seed)
    source, test_source = fingerprint(task)
    settings = LoadExamples(
        source=source, test_source=test_source, columns=task.columns, splits=task.splits, seed=task.seed
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
    rows = read_file(movie_reviews)
    assert rows[0].label == "positive"
    assert rows[2].label == "negative"
    assert rows[2].text == "Effective but too tepid biopic"


def test_lines_that_cannot_be_read_are_named_and_not_guessed(tmp_path):
    path = tmp_path / "rows.txt"
    path.write_bytes(b"1\t2.5\tfine\r\n2\t-1\tcaf\xe9\r\n3\tmuch\tbad number\r\n4\t1\n\n6\t-9\tfar\r\n7\t0.1\tmeh")
    assert [(row.name, row.label, row.problem) for row in read_file(path)] == [
        ("movie-reviews:1", "positive", ""),
        ("movie-reviews:2", None, "not UTF-8"),
        ("movie-reviews:3", None, "not an id, a rating and a text"),
        ("movie-reviews:4", None, "not an id, a rating and a text"),
        ("movie-reviews:6", None, "rating outside [-4, 4]"),
        ("movie-reviews:7", None, "neutral: rating within 0.3 of zero"),
    ]
