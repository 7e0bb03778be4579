"""Objects of a bucket below a prefix: S3 and what speaks it, and Google Cloud Storage.

Every call is tried again with growing pauses until `RETRY_SECONDS` are over, and then raises StoreUnavailableError.
Credentials come from the environment or from the machine, never from a spec. What is written is whole or not there;
`create` and `replace` are decided by the server, so that of several writers one wins. Nothing is ever renamed.
"""

import errno
import json
import os
import re
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

from w2s_ray.bucket_uri import normalised
from w2s_ray.secrets import redacted
from w2s_ray.stages.errors import StoreUnavailableError

RETRY_SECONDS = 20.0
"""How long one call is tried; `resources.store_patience` is waited on top by the broker."""

AT_ONCE = 32
"""Requests that are on their way at the same time."""

_PART = 32 << 20  # bytes of one request for a part of a large object
_TIMEOUT = timedelta(seconds=60)  # for one part
_KEYS = {
    "s3": "AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN, AWS_REGION and AWS_ENDPOINT_URL",
    "gs": "GOOGLE_APPLICATION_CREDENTIALS",
}
_Item = TypeVar("_Item")
_Answer = TypeVar("_Answer")


@dataclass(frozen=True)
class Meta:
    """What is known of an object without its content; `modified` is by the server's clock, in seconds since 1970."""

    tag: str
    size: int
    modified: float


class Objects:
    """The objects below a URI; keys are relative to it.

    All methods raise StoreUnavailableError if the server does not answer, refuses, or has no such bucket.
    """

    def __init__(self, uri: str) -> None:
        self.uri = normalised(uri)

    def get(self, key: str) -> bytes | None:
        """Returns an object's content; None if there is none."""
        found = self.get_tagged(key)
        return found[0] if found else None

    def get_tagged(self, key: str) -> tuple[bytes, Meta] | None:
        """Returns an object's content, and what is known of it; None if there is none."""

        def read(store: Any) -> tuple[bytes, Meta]:
            result = _obstore().get(store, key)
            return bytes(result.bytes()), _meta(result.meta)

        return self._found(key, read)

    def head(self, key: str) -> Meta | None:
        """Returns what is known of an object without reading it; None if there is none."""
        return self._found(key, lambda store: _meta(_obstore().head(store, key)))

    def fetch(self, key: str, path: Path) -> Meta | None:
        """Writes an object's content into a file, a large one in parts that are tried again; None if there is none."""

        def first(store: Any) -> tuple[bytes, Meta]:
            result = _obstore().get(store, key)
            meta = _meta(result.meta)
            return bytes(result.bytes()) if meta.size <= _PART else b"", meta

        found = self._found(key, first)
        if found is None:
            return None
        content, meta = found
        with path.open("wb") as file:
            file.write(content)
            for start in range(len(content), meta.size, _PART):
                part = self._part(key, start, min(_PART, meta.size - start))
                if part is None:
                    return None
                file.write(part)
        return meta

    def put(self, key: str, content: bytes | Path) -> str:
        """Writes an object, in place of one that is there; returns its tag. A file may be of any size."""
        made = self._call(f"writing {key}", lambda store: _obstore().put(store, key, content))
        return _tag(made)

    def create(self, key: str, content: bytes) -> str | None:
        """Writes an object if there is none and returns its tag; None if there is one that is not the same."""
        return self._decided(key, content, "create")

    def replace(self, key: str, content: bytes, tag: str) -> str | None:
        """Writes an object in place of the one with `tag` and returns the new tag; None if there is another by now."""
        return self._decided(key, content, json.loads(tag))

    def delete(self, *keys: str) -> None:
        """Removes objects; those that are not there are no error."""
        in_parallel(lambda key: self._found(key, lambda store: _obstore().delete(store, key)), keys)

    def folders(self, prefix: str) -> list[str]:
        """Returns the first parts of the keys below `prefix`. A listing: for people and tidying, never for truth."""
        found = self._call(f"listing {prefix}", lambda store: _obstore().list_with_delimiter(store, prefix))
        return sorted(path.rsplit("/", 1)[-1] for path in found["common_prefixes"])

    def listing(self, prefix: str) -> dict[str, Meta]:
        """Returns all keys below `prefix`. A listing: for people and tidying, never for truth."""

        def read(store: Any) -> dict[str, Meta]:
            return {one["path"]: _meta(one) for page in _obstore().list(store, prefix) for one in page}

        return self._call(f"listing {prefix}", read)

    def _part(self, key: str, start: int, length: int) -> bytes | None:
        return self._found(key, lambda store: bytes(_obstore().get_range(store, key, start=start, length=length)))

    def _found(self, key: str, ask: Callable[[Any], _Answer]) -> _Answer | None:
        def ask_or_none(store: Any) -> _Answer | None:
            try:
                return ask(store)
            except FileNotFoundError as error:
                if "NoSuchBucket" in str(error):
                    raise
                return None

        return self._call(f"reading {key}", ask_or_none)

    def _decided(self, key: str, content: bytes, mode: Any) -> str | None:
        from obstore.exceptions import AlreadyExistsError, PreconditionError

        try:
            made = self._call(f"writing {key}", lambda store: _obstore().put(store, key, content, mode=mode))
        except (AlreadyExistsError, PreconditionError):
            # Perhaps by our own request, whose answer was lost on the way and which was then sent again.
            found = self.get_tagged(key)
            return found[1].tag if found and found[0] == content else None
        return _tag(made)

    def _call(self, doing: str, ask: Callable[[Any], _Answer]) -> _Answer:
        from obstore.exceptions import (
            AlreadyExistsError,
            GenericError,
            PermissionDeniedError,
            PreconditionError,
            UnauthenticatedError,
        )

        deadline, pause = time.monotonic() + RETRY_SECONDS, 0.2
        while True:
            try:
                return ask(_client(self.uri, os.getpid(), RETRY_SECONDS, os.environ.get("AWS_ENDPOINT_URL")))
            except (AlreadyExistsError, PreconditionError):
                raise
            except (PermissionDeniedError, UnauthenticatedError) as error:
                raise self._unavailable(errno.EACCES, "is not open with these credentials", doing, error) from None
            except FileNotFoundError as error:
                raise self._unavailable(errno.ENOENT, "has no such bucket", doing, error) from None
            except (GenericError, OSError) as error:
                if time.monotonic() + pause > deadline or _is_hopeless(error):
                    raise self._unavailable(errno.EIO, "does not answer", doing, error) from None
                time.sleep(pause)
                pause = min(2 * pause, 5.0)

    def _unavailable(self, number: int, what: str, doing: str, error: Exception) -> StoreUnavailableError:
        said = redacted((str(error).splitlines() or [""])[0])[:300]
        names = _KEYS[self.uri.partition(":")[0]]
        remedy = f"Check the bucket's name, the network and {names}"
        return StoreUnavailableError(number, f"the store {self.uri} {what} ({doing}: {said})", remedy)


def in_parallel(do: Callable[[_Item], _Answer], items: Iterable[_Item]) -> list[_Answer]:
    """Calls `do` with every item, several at a time, and returns the answers in order. Raises what the first raised."""
    todo: Sequence[_Item] = list(items)
    if len(todo) < 2:
        return [do(item) for item in todo]
    with ThreadPoolExecutor(min(AT_ONCE, len(todo))) as pool:
        return list(pool.map(do, todo))


@lru_cache(maxsize=8)
def _client(uri: str, pid: int, seconds: float, endpoint: str | None) -> Any:
    """Returns the connections of this process; those of a parent do not survive a fork."""
    from obstore.store import from_url

    plain = (endpoint or "").startswith("http://")
    backoff = {"init_backoff": timedelta(seconds=0.1), "max_backoff": timedelta(seconds=3), "base": 2}
    retry_timeout = timedelta(seconds=seconds)
    return from_url(  # type: ignore[call-overload]
        uri,
        client_options={"allow_http": plain, "timeout": _TIMEOUT, "connect_timeout": timedelta(seconds=5)},
        retry_config={"max_retries": 10, "backoff": backoff, "retry_timeout": retry_timeout},
    )


def _obstore() -> Any:
    """Imported late: the library takes 16 MB, and most stores are folders."""
    import obstore

    return obstore


def _meta(meta: Any) -> Meta:
    return Meta(_tag(meta), int(meta["size"]), meta["last_modified"].timestamp())


def _tag(known: Any) -> str:
    """Returns what tells one content of a key from the next: S3 decides by `e_tag`, Google by `version`."""
    return json.dumps({name: known[name] for name in ("e_tag", "version") if known.get(name) is not None})


def _is_hopeless(error: Exception) -> bool:
    """Whether the same request can only fail again: the server understood it and said no."""
    return re.search(r"status code: 4(?!08|09|29)\d\d|Missing bucket name|CredentialProvider", str(error)) is not None
