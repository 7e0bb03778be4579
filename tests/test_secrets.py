"""A secret that somebody put into an address is refused where it would be kept, and never shown."""

import json
import re
from itertools import count
from urllib.parse import quote, quote_plus

import pytest
from pydantic import ValidationError

from w2s_ray.secrets import (
    database_without_password,
    database_without_secrets,
    redacted,
    without_secrets,
)
from w2s_ray.spec import Search, SpecError, Sweep, Tracking, replace, yaml

NUMBERS = count()  # as names of cases: pytest keeps a test's name in the environment, secrets in it and all


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


@pytest.mark.parametrize("name", ["PGPASSWORD", "MYSQL_PWD", "DB_PASS", "SSL_PASSPHRASE", "db_password", "MY_APIKEY"])
def test_a_variable_named_as_secrets_are_is_one(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "canary-held\n")  # as a Kubernetes secret that was made from a file
    assert redacted("login 'canary-held' failed") == "login '***' failed"


@pytest.mark.parametrize("name", ["PWD", "OLDPWD", "MONKEY", "RAY_AUTH_TOKEN_PATH", "GOOGLE_APPLICATION_CREDENTIALS"])
def test_a_variable_that_holds_a_place_or_a_name_is_none(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "/home/someone")
    assert redacted("no file /home/someone") == "no file /home/someone"


@pytest.mark.parametrize(
    ("value", "secret"),
    [
        ("postgresql://me:canary-pw@db/x", "canary-pw"),
        ("postgresql://me:can/a@ry-pw@db/x", "can/a@ry-pw"),
        ("postgresql://me:can/a@ry-pw@db/x?options=a@b", "can/a@ry-pw"),
        ("postgresql://me:can%40ry-pw@db/x", "can@ry-pw"),
        ("postgresql://me@db/x?sslmode=on&password=canary-pw", "canary-pw"),
        ("postgresql://me@db/x?password=can%40ry-pw&sslmode=on", "can@ry-pw"),
        ("host=db user=me password='canary pw'", "canary pw"),
        ("DefaultEndpointsProtocol=https;AccountName=me;AccountKey=canary-pw==", "canary-pw=="),
        ("https://a.example https://canary-pw@b.example/simple", "canary-pw"),
    ],
    ids=NUMBERS,
)
def test_the_password_of_an_address_in_any_variable_is_hidden_where_it_is_repeated_alone(
    monkeypatch: pytest.MonkeyPatch, value: str, secret: str
) -> None:
    monkeypatch.setenv("ANY_ADDRESS", value)
    assert redacted(f"the server does not take {secret} from me") == "the server does not take *** from me"
    assert secret not in redacted(f"cannot open {value}")


def test_a_secret_is_hidden_in_whatever_form_a_library_repeats_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ODD_PASSWORD", "canary/'a\"b\\c d\u00e9")
    secret = "canary/'a\"b\\c d\u00e9"
    for told in (secret, repr(secret), json.dumps(secret), quote(secret), quote(secret, safe=""), quote_plus(secret)):
        assert "canary" not in redacted(f"got {told}, which is wrong")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("no https://me:can/a@ry@host/x there", "no https://me:***@host/x there"),
        ("https://me:a@b:c@host,https://you:canary@there", "https://me:***@host,https://you:***@there"),
        ("GET https://b.example/k?X-Amz-Signature=abc&X-Amz-Security-Token=def&x=1", None),
        ("GET https://b.example/k?sv=1&sig=abc%2B&se=2", None),
        ("GET https://b.example/k?a=1&amp;X-Goog-Signature=abc", None),
        ("{'Authorization': 'token abc'}", "{'Authorization': 'token ***'}"),
        ("Authorization: abc def", "Authorization: abc ***"),
        ("('authorization', b'Basic Y2FuYXJ5MTIz')", "('authorization', b'Basic ***')"),
        ("{'X-Api-Key': 'abc', 'Cookie': 'session=def; x=1'}", "{'X-Api-Key': ***, 'Cookie': ***}"),
        ('{"password": "abc def", "user": "me"}', '{"password": ***, "user": "me"}'),
        ("connect(host='db', password='abc', user='me')", "connect(host='db', password=***, user='me')"),
        ("host=db password=abc user=me", "host=db password=*** user=me"),
    ],
    ids=NUMBERS,
)
def test_the_words_of_others_lose_what_stands_in_the_place_of_a_secret(words: str, told: str | None) -> None:
    assert "abc" not in redacted(words).replace("abc ***", "")
    assert "def" not in redacted(words)
    assert told is None or redacted(words) == told


@pytest.mark.parametrize(
    "words",
    [
        "set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN",
        "wrong password: try another, or a token of 12 characters",
        "http://host:5000/x?workspace=a@b and s3://bucket/prefix",
        "sorted(rows, key=len); pad_token='<pad>'; KeyError: 'key'",
        "name==1.0 --hash=sha256:abcdef",
    ],
    ids=NUMBERS,
)
def test_ordinary_words_stay(words: str) -> None:
    assert redacted(words) == words


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
