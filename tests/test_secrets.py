"""A secret that somebody put into an address is refused where it would be kept, and never shown."""

import re

import pytest
from pydantic import ValidationError

from w2s_ray.secrets import database_without_password, database_without_secrets, without_secrets
from w2s_ray.spec import Search, SpecError, Sweep, Tracking, replace, yaml


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


@pytest.mark.parametrize(
    ("url", "shown", "kept"),
    [
        ("postgresql://me@host/x", "postgresql://me@host/x", "postgresql://me@host/x"),
        ("postgresql://me:canary@host/x", "postgresql://me:***@host/x", "postgresql://me@host/x"),
        ("postgresql://me:can/a@ry@host/x", "postgresql://me:***@host/x", "postgresql://me@host/x"),
        ("postgresql://me@/x?host=/tmp", "postgresql://me@/x?host=/tmp", "postgresql://me@/x?host=/tmp"),
        ("postgresql:///x?password=canary&user=me", "postgresql:///x?password=***&user=me", "postgresql:///x?user=me"),
        ("postgresql:///x?user=me&password=canary", "postgresql:///x?user=me&password=***", "postgresql:///x?user=me"),
    ],
)
def test_the_url_of_a_database_is_shown_and_kept_with_its_user_and_without_its_password(
    url: str, shown: str, kept: str
) -> None:
    assert database_without_secrets(url) == shown
    assert database_without_password(url) == kept


@pytest.mark.parametrize(
    ("storage", "says"),
    [
        ("postgresql://me:canary@host/x", r"postgresql://me:\*\*\*@host/x holds credentials"),
        ("postgresql://host/x?password=canary", r"password=\*\*\* holds credentials"),
        ("mysql://me@host/x", "can hold no study"),
        ("sqlite:///here.db", "with the file's whole path"),
    ],
)
def test_a_spec_with_a_studys_database_that_cannot_be_kept_is_refused(small: Sweep, storage: str, says: str) -> None:
    with pytest.raises(ValidationError, match=says) as refused:
        replace(small, search=Search(storage=storage))
    assert "canary" not in str(refused.value)
    assert replace(small, search=Search(storage="postgresql://me@host/x")).search.storage == "postgresql://me@host/x"
