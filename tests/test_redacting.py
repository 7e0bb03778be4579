"""Errors that pass on, and whatever else a process says besides its own texts, have lost their secrets."""

import pickle
import subprocess
import sys
import traceback
import urllib.error
from collections.abc import Callable

import cloudpickle
import pytest
import sqlalchemy.exc

from w2s_ray.redacting import redacted_errors
from w2s_ray.secrets import redacted
from w2s_ray.stages.attempts import reason_of, verdict_on
from w2s_ray.stages.errors import DamagedStageError, StoreUnavailableError

SECRET = "canary-held"
URL = f"postgresql://me:{SECRET}@db/x"


@pytest.fixture(autouse=True)
def held(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGPASSWORD", SECRET)


def passed_on(error: BaseException) -> BaseException:
    with pytest.raises(BaseException) as caught, redacted_errors():  # noqa: PT011 - any may come
        raise error
    return caught.value


class OwnWordsError(ValueError):
    """Says a secret that is in none of its arguments."""

    def __init__(self) -> None:
        super().__init__(7)

    def __str__(self) -> str:
        return f"no login with {SECRET}"


def with_a_note() -> Exception:
    error = RuntimeError("no login")
    error.__notes__ = [f"with {SECRET}"]
    return error


def from_another() -> Exception:
    error, middle = RuntimeError("no login"), KeyError("again")
    error.__cause__, error.__context__ = middle, OSError(5, f"by {URL}")
    middle.__context__ = OwnWordsError()
    middle.__context__.__context__ = error  # one that came from itself
    return error


def a_group() -> BaseException:
    if sys.version_info < (3, 11):
        pytest.skip("no groups before Python 3.11")
    inner = ExceptionGroup(f"by {SECRET}", [OwnWordsError(), ValueError("fine")])  # noqa: F821
    return ExceptionGroup("both", [inner, KeyError(7)])  # noqa: F821


LEAKY: dict[str, tuple[Callable[[], BaseException], str]] = {
    "a text": (lambda: ConnectionError(f"{URL} is closed"), "ConnectionError"),
    "a key": (lambda: KeyError(f"no {SECRET}"), "KeyError"),
    "a mapping": (lambda: ValueError({"password": SECRET}), "ValueError"),
    "a pair": (lambda: LookupError(("user", SECRET)), "LookupError"),
    "a key of parts": (lambda: KeyError(("user", SECRET)), "KeyError"),
    "bytes": (lambda: OSError(SECRET.encode()), "OSError"),
    "a file": (lambda: FileNotFoundError(2, "No such file", f"/{SECRET}/x"), "FileNotFoundError"),
    "a command": (lambda: subprocess.CalledProcessError(1, ["psql", URL]), "CalledProcessError"),
    "a command's end": (lambda: subprocess.TimeoutExpired(f"psql {URL}", 3), "TimeoutExpired"),
    "an answer": (lambda: urllib.error.HTTPError("http://h", 401, f"not {SECRET}", {}, None), "HTTPError"),  # type: ignore[arg-type]
    "a statement": (
        lambda: sqlalchemy.exc.DBAPIError("SELECT %s", {"p": SECRET}, RuntimeError(f"not {SECRET}")),
        "DBAPIError",
    ),
    "words of its own": (OwnWordsError, "OwnWordsError"),
    "a text that is no code": (lambda: SyntaxError("no code", ("x.py", 1, 1, SECRET)), "SyntaxError"),
    "bytes that are no text": (lambda: UnicodeDecodeError("utf-8", b"x", 0, 1, f"not {SECRET}"), "UnicodeDecodeError"),
    "a name": (lambda: ImportError(f"no {SECRET}", name=SECRET), "ImportError"),
    "an end": (lambda: SystemExit(f"no {SECRET}"), "SystemExit"),
    "a note": (with_a_note, "RuntimeError"),
    "others that it came from": (from_another, "RuntimeError"),
    "a group": (a_group, "ExceptionGroup"),
}


@pytest.mark.parametrize("kind", LEAKY)
def test_an_error_that_passes_on_says_no_secret_and_is_judged_as_ever(kind: str) -> None:
    make, name = LEAKY[kind]
    verdict = verdict_on(make())
    passed = passed_on(make())
    shown = "".join(traceback.format_exception(type(passed), passed, passed.__traceback__))
    assert SECRET not in shown, shown
    assert "in passed_on" in shown  # still says where
    assert name in reason_of(passed)
    assert verdict_on(passed) == verdict
    if kind == "an answer":
        return  # Python cannot read a pickled one
    sent = pickle.loads(cloudpickle.dumps(passed))
    assert SECRET not in "".join(traceback.format_exception_only(type(sent), sent))


def test_an_error_keeps_its_kind_where_it_can_and_what_it_carries() -> None:
    key = passed_on(KeyError(f"lost {URL}", 7))
    assert (type(key), key.args) == (KeyError, ("lost postgresql://me:***@db/x", 7))
    damaged = passed_on(DamagedStageError("0123", f"was written by {SECRET}"))
    sent = pickle.loads(pickle.dumps(damaged))
    assert (type(sent), sent.address, sent.reason) == (DamagedStageError, "0123", "was written by ***")
    full = passed_on(StoreUnavailableError(28, f"the store {URL} is full"))
    assert isinstance(full, StoreUnavailableError)
    assert (full.errno, str(full)) == (28, "the store postgresql://me:***@db/x is full")


def test_an_error_without_a_secret_passes_on_as_it_is() -> None:
    error, cause = OwnWordsError(), ValueError({"a": 1})
    error.__class__.__str__ = lambda _: "no login"  # type: ignore[method-assign,assignment]
    error.__cause__ = cause
    passed = passed_on(error)
    assert passed is error
    assert passed.__cause__ is cause


def test_a_long_line_of_errors_is_followed_to_its_end() -> None:
    error = first = RuntimeError("last")
    for _ in range(5000):
        error.__context__ = RuntimeError("again")
        error = error.__context__  # type: ignore[assignment]
    error.args = (SECRET,)
    passed_on(first)
    assert error.args == ("***",)


SAYS = """
import logging, threading, warnings
from w2s_ray.redacting import redact_output
redact_output(); redact_output()

class Gone:
    def __del__(self):
        raise OSError("unraisable canary-held")

def fails():
    raise OSError("thread canary-held")

logging.warning("Retrying after %r: %s", OSError("log canary-held"), "/x?token=abcdefgh")
try:
    raise OSError("logged canary-held")
except OSError:
    logging.exception("failed")
    logging.getLogger("urllib3").error("broken %d", "not a number canary-held")
warnings.warn("warned canary-held", stacklevel=1)
thread = threading.Thread(target=fails)
thread.start(); thread.join()
Gone()
raise OSError("uncaught https://me:canary@host")
"""


def test_whatever_else_a_process_says_has_lost_its_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", ":".join(sys.path))
    done = subprocess.run([sys.executable, "-c", SAYS], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    for said in ("log ***", "token=***", "logged ***", "warned ***", "thread ***", "unraisable ***"):
        assert said in done.stderr, done.stderr
    assert "canary" not in done.stderr
    assert "abcdefgh" not in done.stderr
    assert "Traceback (most recent call last):" in done.stderr
    assert done.stderr.endswith("OSError: uncaught https://me:***@host\n")
    assert redacted(done.stderr) == done.stderr
