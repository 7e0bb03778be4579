"""Texts as they may be shown, logged and kept: without the passwords and tokens that people put into addresses.

`without_secrets` knows what an address looks like, and says the same on every machine; `redacted` knows besides what
this process holds in its environment and how headers and settings are written, and is for the words of other libraries
and of people's code. Where it cannot tell where a secret ends, it hides too much.
"""

import json
import os
import re
from collections.abc import Iterator
from urllib.parse import quote, quote_plus, unquote

_TO_THE_LAST = re.compile(r"(\w://[^:/@\s]*):\S*@")  # of a database, whose password may hold a / or an @
# user:PASSWORD@host, up to the last @ of the address; what begins as a port does, with a path behind it, is none.
_PASSWORD = re.compile(r"(\w://[^:/@\s]*):(?!\d{1,5}(?:[/?#]|$))(?:(?!://)\S)*@")
_TOKEN = re.compile(r"(\w://)[^:/@\s]+@")  # TOKEN@host: alone before the @, it is a secret rather than a name
_IN_QUERY = (
    "password|passwd|pwd|sslpassword|secret|client_secret|token|[a-z]+_token|api_?key|key|sig|signature|"
    "x-amz-signature|x-amz-security-token|x-goog-signature|accountkey|sharedaccesskey"
)
_QUERY = re.compile(rf"([?&#;](?:{_IN_QUERY})=)([^&\s]*)", re.IGNORECASE)
_VALUE = r"""("[^"\n]*"|'[^'\n]*'|[^\s"'&;,)\]}]+)"""
_SETTING = re.compile(  # password=..., as in a connection's settings, and "password": ..., as in JSON
    r"((?<![a-z])(?:password|passwd|pwd|passphrase|client_secret|(?:access|auth|refresh|session)_token|api_?key|"
    rf"secret_access_key|accountkey|sharedaccesskey)(?:\s*=\s*|[\"']\s*[:=]\s*)){_VALUE}",
    re.IGNORECASE,
)
_HEADER = re.compile(
    rf"(\b(?:x-[\w-]*(?:token|key)|private-token|(?:set-)?cookie)[\"']?\s*[:=]\s*){_VALUE}", re.IGNORECASE
)
_AUTHORIZATION = re.compile(
    r"(\b(?:proxy-)?authorization[\"']?\s*[:=,]\s*b?[\"']?(?:[\w-]+ +)?)[^\s\"',}]+", re.IGNORECASE
)
_BASIC = re.compile(r"\b((?:Basic|Bearer) )[\w.~+/=-]{8,}")  # as an HTTP library shows it alone
_VARIABLE = re.compile(r"(?:PASSWORD|PASSWD|PASSPHRASE|APIKEY|_PWD|_PASS|(?:^|_)(?:TOKEN|SECRET|KEY))$", re.IGNORECASE)
_BEFORE_PASSWORD = re.compile(r"\w://[^:/@\s]*:")
_TOKEN_IN_ADDRESS = re.compile(r"\bhttps?://([^:/@\s]+)@")
_SHORTEST = 6  # characters; a shorter value would be found in ordinary words


def without_secrets(text: str) -> str:
    """Returns `text` with `***` for each secret of the addresses in it; names of users stay."""
    hidden = _QUERY.sub(r"\1***", _PASSWORD.sub(r"\1:***@", text))
    return _TOKEN.sub(r"\1***@", hidden)


def redacted(text: str) -> str:
    """Does what `without_secrets` does, and hides headers, settings and the secrets of this process's environment."""
    forms = {form for secret in _held() for form in _forms(secret)}
    for form in sorted(forms, key=len, reverse=True):
        text = text.replace(form, "***")
    text = without_secrets(text)
    for pattern in (_SETTING, _HEADER, _AUTHORIZATION, _BASIC):
        text = pattern.sub(r"\1***", text)
    return text


def _held() -> Iterator[str]:
    """Yields the values of variables that are named as secrets are, and the passwords in addresses of all."""
    for name, value in os.environ.items():
        found = [*_in_addresses(value), *([value.strip()] if _VARIABLE.search(name) else [])]
        yield from (secret for secret in found if len(secret) >= _SHORTEST)


def _in_addresses(value: str) -> Iterator[str]:
    """Yields what may be a secret in a variable with addresses or settings, as it is written and as it is meant."""
    found = [match[2].strip("\"'") for pattern in (_QUERY, _SETTING) for match in pattern.finditer(value)]
    found += _TOKEN_IN_ADDRESS.findall(value)
    for word in value.split():
        for match in _BEFORE_PASSWORD.finditer(word):
            rest = word[match.end() :]
            found += [rest[: at.start()] for at in re.finditer("@", rest)]  # any @ may be the one before the host
    for secret in found:
        yield from (secret, unquote(secret))


def _forms(secret: str) -> set[str]:
    """Returns a secret as it is, and as addresses, Python and JSON write it."""
    written = {quote(secret), quote(secret, safe=""), quote_plus(secret), repr(secret)[1:-1], json.dumps(secret)[1:-1]}
    return {secret, *written}


def database_without_secrets(text: str) -> str:
    """Returns `text` with `***` for each password of the databases' URLs in it, whose users are no secret."""
    return _QUERY.sub(r"\1***", _TO_THE_LAST.sub(r"\1:***@", text))


def database_without_password(url: str) -> str:
    """Returns the URL of a database as one without a password, which libpq's own ways may then give it."""
    return re.sub(r"(?<=[?&])\w+=\*\*\*(&|$)", "", database_without_secrets(url).replace(":***@", "@")).rstrip("?&")
