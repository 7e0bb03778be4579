"""CI's audit of the pinned packages: what fails it, and what it accepts."""

import importlib.machinery
import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest


@pytest.fixture(scope="module")
def audit() -> ModuleType:
    loader = importlib.machinery.SourceFileLoader("audit", str(Path(__file__).parents[1] / ".ci" / "audit"))
    spec = importlib.util.spec_from_loader("audit", loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    return module


REPORT: list[dict[str, Any]] = [
    {"name": "one", "version": "1.0", "vulns": []},
    {"name": "two", "version": "2.0", "vulns": [{"id": "PYSEC-1", "aliases": ["CVE-1"], "fix_versions": ["2.1"]}]},
    {"name": "three", "skip_reason": "not found"},
]


def test_a_vulnerability_fails_with_its_mend_and_an_unknown_package_is_named(audit: ModuleType) -> None:
    bad, said = audit.judged(REPORT, {})
    assert bad == ["two 2.0: PYSEC-1, mended in: 2.1"]
    assert said == ["unknown there: three"]


def test_an_exception_is_known_by_any_of_its_names_and_told_when_it_is_needed_no_more(audit: ModuleType) -> None:
    exceptions = audit.read_exceptions("# why\n\nCVE-1 2026-11-28 we never call it\nCVE-2 2026-11-28 gone\n")
    bad, said = audit.judged(REPORT, exceptions)
    assert bad == []
    assert said[0] == "accepted: two 2.0: PYSEC-1, mended in: 2.1 (we never call it)"
    assert said[1] == "not needed any more: CVE-2 in audit-exceptions.txt"


@pytest.mark.parametrize("line", ["CVE-1", "CVE-1 2026-11-28", "CVE-1 someday we never call it", "CVE-1 2026-13-01 no"])
def test_an_exception_without_date_and_reason_is_none(audit: ModuleType, line: str) -> None:
    with pytest.raises(ValueError, match=r"want ID DATE REASON|month"):
        audit.read_exceptions(line)


def test_the_exceptions_that_are_kept_can_be_read(audit: ModuleType) -> None:
    audit.read_exceptions(audit.EXCEPTIONS.read_text(encoding="utf-8"))
