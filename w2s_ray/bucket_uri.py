"""How a store in a bucket is named: s3://BUCKET/PREFIX or gs://BUCKET/PREFIX."""

import re

from w2s_ray.secrets import without_secrets

_URI = re.compile(r"(s3|gs)://([A-Za-z0-9][A-Za-z0-9._-]+)((?:/[^/?#@]+)*)/*")


def is_uri(place: str) -> bool:
    """Whether a store's place is meant to be in a bucket rather than a folder."""
    return "://" in place


def normalised(uri: str) -> str:
    """Returns a bucket's URI in the form that names it. Raises ValueError for any other."""
    match = _URI.fullmatch(uri)
    if match is None or {".", ".."} & set(match[3].split("/")):
        told = without_secrets(uri)
        raise ValueError(f"a store is a folder, s3://BUCKET/PREFIX or gs://BUCKET/PREFIX, got {told!r}")
    return f"{match[1]}://{match[2]}{match[3]}"
