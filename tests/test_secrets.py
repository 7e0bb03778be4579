"""A secret that somebody put into an address is refused where it would be kept, and never shown."""

import re
import subprocess
import sys

import pytest
from pydantic import ValidationError

from w2s_ray.secrets import (
    database_without_password,
    database_without_secrets,
    redacted,
    redacted_errors,
    without_secrets,
)
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


def test_a_spec_with_a_secret_in_any_address_or_place_is_refused_and_does_not_repeat_it(small: Sweep) -> None:
    text = yaml.dump(replace(small, store="w2s-runs"))  # a long path would have a line of its own
    secret = "https://me:canary@data.example/x.csv"
    for old, new in [
        ("source: movie-reviews", f"source: {secret}"),
        ("source: minilm", f"source: {secret}"),
        ("store: w2s-runs", f"store: {secret}"),
        ("  enabled: true", f"  enabled: {secret}"),
        ("methods:", f"{secret}: 1\nmethods:"),
    ]:
        assert old in text
        with pytest.raises(SpecError) as caught:
            yaml.parse(text.replace(old, new, 1))
        assert "canary" not in str(caught.value)
        assert "me:***@data.example" in str(caught.value)


def test_the_words_of_others_lose_what_the_environment_holds_and_what_headers_show(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "canary-key")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "postgresql://me:canary-uri@db/x")
    monkeypatch.setenv("PGPASSWORD", "short")  # would be found in ordinary words
    told = redacted("InvalidKey: canary-key; login as me with canary-uri; {'Authorization': 'Basic Y2FuYXJ5MTIz'}")
    assert told == "InvalidKey: ***; login as me with ***; {'Authorization': 'Basic ***'}"
    assert redacted("a short word and a Basic test") == "a short word and a Basic test"


def test_an_error_that_nobody_caught_is_shown_without_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    code = "from w2s_ray.secrets import redact_tracebacks as r; r(); raise OSError('no https://me:canary@host')"
    monkeypatch.setenv("PYTHONPATH", ":".join(sys.path))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("Traceback")
    assert done.stderr.endswith("OSError: no https://me:***@host\n")


def test_an_error_that_passes_on_keeps_its_kind_and_loses_the_secrets_of_all_that_it_came_from() -> None:
    error = KeyError("lost https://me:canary@host", 7)
    error.__cause__ = OSError(5, "no https://me:canary@host")
    with pytest.raises(KeyError) as caught, redacted_errors():
        raise error
    assert caught.value.args == ("lost https://me:***@host", 7)
    assert caught.value.__cause__ is not None
    assert str(caught.value.__cause__) == "[Errno 5] no https://me:***@host"


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
