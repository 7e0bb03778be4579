"""Where a cluster's Jobs API is. Whoever holds its token runs any code there, so the way to it is judged first.

An address holds no credentials: Ray's token comes from the environment. A token that goes over a network in clear text
is everybody's, so plain http leads to this machine only, where a tunnel begins.
"""

import ipaddress
from urllib.parse import urlsplit

from w2s_ray.secrets import without_secrets

_TUNNEL = "open a tunnel (ssh -L 8265:localhost:8265 HEAD, or kubectl port-forward) and use http://localhost:8265"


class ClusterError(ValueError):
    """A cluster cannot be used, or does not do what was asked; the text says why and what to do."""


def checked(address: str, *, insecure: bool = False) -> str:
    """Returns the URL of a Jobs API, without a slash at its end.

    Args:
        address: such as `http://localhost:8265`.
        insecure: allows a token to be sent in clear text over a network.

    Raises:
        ClusterError: no http or https URL, one with credentials, or one that would give the token away.
    """
    url, shown = address.rstrip("/"), without_secrets(address)
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ClusterError(f"--address must be the URL of a Ray dashboard, http://HOST:8265, got {shown!r}")
    if "@" in parts.netloc:
        raise ClusterError(
            f"--address {shown} holds credentials; leave them out: Ray takes its token from RAY_AUTH_TOKEN"
        )
    if parts.scheme == "http" and not insecure and not _is_this_machine(parts.hostname):
        raise ClusterError(
            f"http to {parts.hostname} would send the token in clear text; {_TUNNEL}, or use https, or add --insecure"
        )
    return url


def _is_this_machine(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
