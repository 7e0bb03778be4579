"""docs/spec.md lists every field of the spec, as the spec is now."""

import runpy
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "docs" / "make_spec_page.py"


@pytest.fixture(scope="module")
def script() -> dict[str, object]:
    return runpy.run_path(str(SCRIPT))


def test_the_page_is_up_to_date(script: dict[str, object]) -> None:
    made = script["page"]()  # type: ignore[operator]
    assert made == (SCRIPT.parent / "spec.md").read_text(encoding="utf-8"), f"run python {SCRIPT}"


def test_every_field_of_every_model_has_a_row(script: dict[str, object]) -> None:
    page = (SCRIPT.parent / "spec.md").read_text(encoding="utf-8")
    for place, model in script["sections"](script["Sweep"]):  # type: ignore[operator]
        section = page.split(f"## `{place}`\n" if place else "## Top level\n")[1].split("\n## ")[0]
        for name, field in model.model_fields.items():
            assert f"| `{field.alias or name}` |" in section


def test_what_the_script_explains_is_still_there(script: dict[str, object]) -> None:
    fields = {
        f"{model.__name__}.{field.alias or name}"
        for _, model in script["sections"](script["Sweep"])  # type: ignore[operator]
        for name, field in model.model_fields.items()
    }
    assert set(script["MEANING"]) <= fields  # type: ignore[call-overload]
