"""The journal holds whole lines: those of a full disk leave nothing, and one that vanished is not begun anew."""

import errno
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import optuna
import pytest

from w2s_ray.search.journal import JournalFile, open_journal
from w2s_ray.stages.errors import StoreUnavailableError


@pytest.fixture
def small_disk(disk_of: Callable[[str], Path]) -> Path:
    return disk_of("64k")


def test_a_line_that_does_not_fit_leaves_nothing_and_fits_later(small_disk: Path) -> None:
    file = JournalFile(small_disk / "journal")
    filler = small_disk / "filler"
    filler.write_bytes(bytes(36 << 10))

    def fill() -> None:
        for number in range(100):
            file.append_logs([{"number": number, "text": "x" * 1000}])

    with pytest.raises(OSError, match="No space left") as caught:
        fill()
    assert caught.value.errno == errno.ENOSPC
    whole = list(file.read_logs(0))
    assert [entry["number"] for entry in whole] == list(range(len(whole)))
    assert (small_disk / "journal").read_bytes().endswith(b"\n")
    filler.unlink()
    file.append_logs([{"number": len(whole)}])
    assert [entry["number"] for entry in file.read_logs(len(whole))] == [len(whole)]


def test_a_journal_that_vanished_is_not_begun_anew(tmp_path: Path) -> None:
    storage, _ = open_journal(tmp_path / "journal")
    study = optuna.create_study(storage=storage, study_name="one")
    (tmp_path / "journal").unlink()
    with pytest.raises(StoreUnavailableError, match="is gone"):
        study.ask()
    assert not (tmp_path / "journal").exists()


def test_what_is_written_together_is_read_at_once_and_whole_after_an_error(tmp_path: Path) -> None:
    file = JournalFile(tmp_path / "journal")
    with suppress(RuntimeError), file.together():
        file.append_logs([{"number": 0}])
        assert [entry["number"] for entry in JournalFile(tmp_path / "journal").read_logs(0)] == [0]
        raise RuntimeError
    file.append_logs([{"number": 1}])
    assert [entry["number"] for entry in file.read_logs(0)] == [0, 1]


def test_reading_goes_on_where_it_stopped_and_passes_over_a_line_in_the_making(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    file = JournalFile(path)
    file.append_logs([{"number": 0}, {"number": 1}])
    assert len(list(file.read_logs(0))) == 2
    with path.open("ab") as other:
        other.write(b'{"number":')
        other.flush()
        assert list(file.read_logs(2)) == []
        other.write(b"2}\n")
    assert list(file.read_logs(2)) == [{"number": 2}]
    assert len(list(file.read_logs(0))) == 3
