"""The page on faults of earlier code names tests that are there."""

import re
from pathlib import Path

TESTS = Path(__file__).parent
PAGE = TESTS.parent / "docs" / "faithfulness.md"


def test_every_test_that_the_page_names_is_in_the_suite() -> None:
    suite = "\n".join(path.read_text(encoding="utf-8") for path in TESTS.rglob("test_*.py"))
    there = set(re.findall(r"^def (test_\w+)", suite, re.MULTILINE))
    rows = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("| ") and "`" in line]
    named = [re.findall(r"`(test_\w+)`", row) for row in rows]
    assert len(rows) == 20
    assert all(named), "a fault without a test"
    assert {name for of_row in named for name in of_row} - there == set()
