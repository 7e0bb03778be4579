"""What keeps MLflow from being written, in one line that says what to do, and that gives no secret away.

MLflow's client reads its credentials and certificates from the environment; their names are what people look for.
"""

import re
from collections.abc import Iterator

from w2s_ray.secrets import redacted, without_secrets
from w2s_ray.tracking.location import is_served

_LONGEST = 300  # characters of the reason

_CREDENTIALS = "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN"
_ADVICE = {
    r"\b401\b|unauthorized|not authenticated": f"it does not know who asks: set {_CREDENTIALS}",
    r"\b403\b|permission denied|forbidden": f"this user may not write there: ask for the right, or set {_CREDENTIALS}",
    r"certificate|\bssl\b|sslerror": "if its certificate is your own, name that of its CA in "
    "MLFLOW_TRACKING_SERVER_CERT_PATH; the URI begins with https:// where the server speaks TLS",
    r"refused|timed out|resolve|unreachable|max retries|connection|host": "see whether it runs and whether "
    "MLFLOW_TRACKING_URI, or tracking.uri of the spec, names it",
}


def explained(error: BaseException, uri: str) -> str:
    """Returns `MLflow at URI cannot be written (reason): advice`, in one line."""
    reason = redacted(_first_line(error))[:_LONGEST]
    advice = advice_on(error) if is_served(uri) else None
    return f"MLflow at {without_secrets(uri)} cannot be written ({reason}){f': {advice}' if advice else ''}"


def advice_on(error: BaseException) -> str | None:
    """Returns what may help where a server could not be used; None if nothing is known to."""
    told = " ".join(f"{type(one).__name__} {one}" for one in _chain(error)).lower()
    return next((advice for pattern, advice in _ADVICE.items() if re.search(pattern, told)), None)


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yields an error and what it came from: mlflow raises its own type for whatever its HTTP library raised."""
    seen: set[int] = set()
    one: BaseException | None = error
    while one is not None and id(one) not in seen:
        seen.add(id(one))
        yield one
        one = one.__cause__ or one.__context__


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}{f': {lines[0]}' if lines else ''}"
