"""A secret that somebody put into an address is refused where it would be kept, and never shown."""

import re

import pytest
from pydantic import ValidationError

from w2s_ray.secrets import without_secrets
from w2s_ray.spec import SpecError, Sweep, Tracking, replace, yaml


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("postgresql://me:canary@host:5432/x", "postgresql://me:***@host:5432/x"),
        ("see https://me:canary@host and http://you:canary@there", "see https://me:***@host and http://you:***@there"),
        ("https://canary@host/path", "https://***@host/path"),
        (
            "postgresql://host/x?user=me&password=canary&sslmode=on",
            "postgresql://host/x?user=me&password=***&sslmode=on",
        ),
        ("https://host/?access_token=canary", "https://host/?access_token=***"),
    ],
)
def test_a_secret_in_an_address_is_never_shown(address: str, shown: str) -> None:
    assert without_secrets(address) == shown


@pytest.mark.parametrize("address", ["sqlite:////a/b.db", "http://host:5000", "https://host/x?workspace=a@b"])
def test_an_address_without_a_secret_is_shown_as_it_is(address: str) -> None:
    assert without_secrets(address) == address


def test_a_spec_that_holds_a_secret_is_refused_and_does_not_repeat_it(small: Sweep) -> None:
    uri = "https://me:canary@mlflow.example"
    text = yaml.dump(small).replace("  enabled: true", f"  enabled: true\n  uri: {uri}")
    with pytest.raises(SpecError, match=re.escape("https://me:***@mlflow.example holds credentials")) as by_file:
        yaml.parse(text)
    with pytest.raises(ValidationError, match="MLFLOW_TRACKING_PASSWORD") as by_name:
        replace(small, tracking=Tracking(uri=uri))
    assert "canary" not in f"{by_file.value}{by_name.value}"
