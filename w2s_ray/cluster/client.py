"""The way to a cluster's Jobs API: Ray's own client, once it is sure that nobody without the token has that way too."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from w2s_ray.cluster.address import ClusterError, checked
from w2s_ray.secrets import redacted

if TYPE_CHECKING:
    from ray.job_submission import JobSubmissionClient

_NAMES_ANOTHER_CLUSTER = ("RAY_ADDRESS", "RAY_API_SERVER_ADDRESS")
_SECONDS = 20.0  # to the first answer


def connect(address: str, *, insecure: bool = False) -> "JobSubmissionClient":
    """Returns a client of the cluster at `address`.

    The token is Ray's own: RAY_AUTH_TOKEN, else the file that RAY_AUTH_TOKEN_PATH names, else ~/.ray/auth_token.

    Raises:
        ClusterError: nothing answers there, the token is missing or wrong, or none is asked for and not `insecure`.
    """
    url = checked(address, insecure=insecure)
    os.environ.setdefault("RAY_AUTH_MODE", "token")  # read once, when Ray is imported
    _refuse_an_open_cluster(url, insecure)
    from ray.job_submission import JobSubmissionClient

    with _only_this_address(), translated(url):
        return JobSubmissionClient(url)


@contextmanager
def translated(url: str) -> Iterator[None]:
    """Turns whatever Ray's client raises into ClusterError, without credentials and with what to do."""
    import requests
    from ray.exceptions import AuthenticationError

    try:
        yield
    except ClusterError:
        raise
    except AuthenticationError:
        raise ClusterError(_token_trouble(url)) from None
    except (ConnectionError, requests.RequestException):
        raise ClusterError(no_answer(url)) from None
    except RuntimeError as error:
        raise ClusterError(f"the cluster at {url} says: {redacted(str(error))}") from error


def _refuse_an_open_cluster(url: str, insecure: bool) -> None:
    """Asks for the jobs without a token; whoever may list them may also start one."""
    import requests

    try:
        code = requests.get(f"{url}/api/jobs/", timeout=_SECONDS, allow_redirects=False).status_code
    except requests.RequestException:
        raise ClusterError(no_answer(url)) from None
    if code == requests.codes.ok and not insecure:
        raise ClusterError(
            f"the cluster at {url} runs anybody's code: it asks for no token. Start it with RAY_AUTH_MODE=token "
            "(docs/security.md), or add --insecure"
        )
    if code == requests.codes.not_found:
        raise ClusterError(f"{url} is no Ray dashboard with a Jobs API; the head needs ray[default]")


def _token_trouble(url: str) -> str:
    from ray._raylet import AuthenticationTokenLoader  # type: ignore[attr-defined] # compiled; Ray has no other way

    if os.environ["RAY_AUTH_MODE"].lower() != "token":
        mode = os.environ["RAY_AUTH_MODE"]
        return f"the cluster at {url} wants a token, and RAY_AUTH_MODE={mode} here sends none; unset it"
    if AuthenticationTokenLoader.instance().has_token(ignore_auth_mode=True):
        return f"the token here is not that of the cluster at {url}; see RAY_AUTH_TOKEN or ~/.ray/auth_token"
    return f"the cluster at {url} wants a token and there is none here; set RAY_AUTH_TOKEN to the cluster's"


def no_answer(url: str) -> str:
    """Returns what to say when nothing answers at `url`."""
    return f"no cluster answers at {url}; is it up, and the tunnel to it open?"


@contextmanager
def _only_this_address() -> Iterator[None]:
    """Ray's client lets these variables override the address it is given, and could meet another cluster."""
    kept: dict[str, Any] = {name: os.environ.pop(name) for name in _NAMES_ANOTHER_CLUSTER if name in os.environ}
    try:
        yield
    finally:
        os.environ.update(kept)
