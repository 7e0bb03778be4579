"""How every command speaks: results to standard output, one line of what went wrong to standard error."""

import json
import sys
from typing import NoReturn

from rich.console import Console

from w2s_ray.secrets import redacted

_PAGE_WIDTH = 110


def console() -> Console:
    """Standard output; wide enough for the report's tables where it is no terminal."""
    return Console() if sys.stdout.isatty() else Console(width=_PAGE_WIDTH)


def show(content: object) -> None:
    """Prints a text, or data as JSON."""
    print(content if isinstance(content, str) else json.dumps(content, indent=2, ensure_ascii=False))


def fail(error: Exception | str, code: int) -> NoReturn:
    """Says what went wrong, without secrets that it may repeat, and ends the command."""
    message = error.args[0] if isinstance(error, LookupError) and error.args else error
    print(f"w2s: {redacted(str(message))}", file=sys.stderr)
    raise SystemExit(code)
