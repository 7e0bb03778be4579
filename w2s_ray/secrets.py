"""Addresses as they may be shown and logged: without the passwords and tokens that people put into them."""

import re

_PASSWORD = re.compile(r"(\w://[^:/@\s]*):[^/@\s]*@")  # user:PASSWORD@host
_TOKEN = re.compile(r"(\w://)[^:/@\s]+@")  # TOKEN@host: alone before the @, it is a secret rather than a name
_TO_THE_LAST = re.compile(r"(\w://[^:/@\s]*):\S*@")  # of a database, whose password may hold a / or an @
_QUERY = re.compile(r"([?&](?:password|passwd|pwd|token|access_token|api_key|sslpassword)=)[^&\s]*", re.IGNORECASE)


def without_secrets(text: str) -> str:
    """Returns `text` with `***` for each secret of the addresses in it; names of users stay."""
    hidden = _QUERY.sub(r"\1***", _PASSWORD.sub(r"\1:***@", text))
    return _TOKEN.sub(r"\1***@", hidden)


def database_without_secrets(text: str) -> str:
    """Returns `text` with `***` for each password of the databases' URLs in it, whose users are no secret."""
    return _QUERY.sub(r"\1***", _TO_THE_LAST.sub(r"\1:***@", text))


def database_without_password(url: str) -> str:
    """Returns the URL of a database as one without a password, which libpq's own ways may then give it."""
    return re.sub(r"(?<=[?&])\w+=\*\*\*(&|$)", "", database_without_secrets(url).replace(":***@", "@")).rstrip("?&")
