"""Texts as they may be shown, logged and kept: without the passwords and tokens that people put into addresses.

`without_secrets` knows what an address looks like, and says the same on every machine; `redacted` knows besides what
this process holds in its environment, and is for the words of other libraries and of people's code.
"""

import os
import re
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType

_PASSWORD = re.compile(r"(\w://[^:/@\s]*):[^/@\s]*@")  # user:PASSWORD@host
_TOKEN = re.compile(r"(\w://)[^:/@\s]+@")  # TOKEN@host: alone before the @, it is a secret rather than a name
_TO_THE_LAST = re.compile(r"(\w://[^:/@\s]*):\S*@")  # of a database, whose password may hold a / or an @
_QUERY = re.compile(r"([?&](?:password|passwd|pwd|token|access_token|api_key|sslpassword)=)[^&\s]*", re.IGNORECASE)
_HEADER = re.compile(r"\b((?:Basic|Bearer) )[\w.~+/=-]{8,}")  # as an HTTP library shows a request
_VARIABLE = re.compile(r"(?:^|_)(?:TOKEN|PASSWORD|PASSWD|SECRET|KEY)$")
_IN_ADDRESS = re.compile(r"\w://[^:/@\s]*:([^/@\s]+)@")
_SHORTEST = 6  # characters; a shorter value would be found in ordinary words


def without_secrets(text: str) -> str:
    """Returns `text` with `***` for each secret of the addresses in it; names of users stay."""
    hidden = _QUERY.sub(r"\1***", _PASSWORD.sub(r"\1:***@", text))
    return _TOKEN.sub(r"\1***@", hidden)


def redacted(text: str) -> str:
    """Does what `without_secrets` does, and hides headers and the secrets that this process has in its environment."""
    for secret in sorted(_held(), key=len, reverse=True):
        text = text.replace(secret, "***")
    return _HEADER.sub(r"\1***", without_secrets(text))


@contextmanager
def redacted_errors() -> Iterator[None]:
    """Takes secrets out of the words of an error, and of those that it came from, before it passes on.

    Ray writes an error's traceback into its logs wherever nobody asked for a task's result.
    """
    try:
        yield
    except Exception as error:
        one: BaseException | None = error
        seen: set[int] = set()
        while one is not None and id(one) not in seen:
            seen.add(id(one))
            one.args = tuple(redacted(part) if isinstance(part, str) else part for part in one.args)
            if isinstance(one, OSError) and isinstance(one.strerror, str):
                one.strerror = redacted(one.strerror)
            one = one.__cause__ or one.__context__
        raise


def redact_tracebacks() -> None:
    """Has an error that nobody catches shown as ever, but without secrets: on a cluster it ends in a job's log."""

    def show(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        sys.stderr.write(redacted("".join(traceback.format_exception(kind, error, trace))))

    sys.excepthook = show


def _held() -> Iterator[str]:
    """Yields the values of variables that are named as secrets are, and the passwords in addresses of all others."""
    for name, value in os.environ.items():
        found = [value] if _VARIABLE.search(name) else _IN_ADDRESS.findall(value)
        yield from (secret for secret in found if len(secret) >= _SHORTEST)


def database_without_secrets(text: str) -> str:
    """Returns `text` with `***` for each password of the databases' URLs in it, whose users are no secret."""
    return _QUERY.sub(r"\1***", _TO_THE_LAST.sub(r"\1:***@", text))


def database_without_password(url: str) -> str:
    """Returns the URL of a database as one without a password, which libpq's own ways may then give it."""
    return re.sub(r"(?<=[?&])\w+=\*\*\*(&|$)", "", database_without_secrets(url).replace(":***@", "@")).rstrip("?&")
