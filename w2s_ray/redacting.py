"""What a process says besides its own texts, without secrets: errors that pass on, logs, warnings, what nobody caught.

Ray writes the traceback of a task's error into its logs wherever nobody asked for the result, and what libraries log or
warn of ends there too, or in a job's log. Prints of other people's code are left alone.
"""

import logging
import sys
import threading
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from types import TracebackType
from typing import Any

from w2s_ray.secrets import redacted


@contextmanager
def redacted_errors() -> Iterator[None]:
    """Takes secrets out of an error, its notes, its group and all that it came from, before it passes on.

    An error whose texts can be changed stays what it is. One that says a secret all the same, in words of its own or in
    what it carries, gives way to the nearest built-in kind that it is one of, with its name before its words: whether a
    stage is tried again depends on the kind.
    """
    redact_output()
    try:
        yield
    except BaseException as error:
        clean = _cleaned(error)
        if clean is error:
            raise
        raise clean.with_traceback(error.__traceback__) from clean.__cause__ or clean.__context__


@cache
def redact_output() -> None:
    """Has all that Python itself says of this process, and all that is logged, said as ever, but without secrets."""
    sys.excepthook = _uncaught
    threading.excepthook = _uncaught_in_a_thread
    sys.unraisablehook = _unraisable
    make, words = logging.getLogRecordFactory(), warnings.formatwarning
    logging.setLogRecordFactory(lambda *args, **named: _redacted_record(make(*args, **named)))
    warnings.formatwarning = lambda *args, **named: redacted(words(*args, **named))


def _cleaned(error: BaseException) -> BaseException:
    found: dict[int, tuple[BaseException, list[BaseException | None], bool]] = {}
    waiting: list[BaseException | None] = [error]
    while waiting:
        one = waiting.pop()
        if one is not None and id(one) not in found:
            links = [one.__cause__, one.__context__]
            found[id(one)] = (one, links, one.__suppress_context__)
            waiting += links
    for one, _, _ in found.values():  # whoever shows one follows its links, thousands perhaps
        one.__cause__ = one.__context__ = None
    clean = {key: _without_secrets(one) for key, (one, _, _) in found.items()}
    for key, (_, links, is_hidden) in found.items():
        new = clean[key]
        new.__cause__, new.__context__ = (None if link is None else clean[id(link)] for link in links)
        new.__suppress_context__ = is_hidden
    return clean[id(error)]


def _without_secrets(error: BaseException) -> BaseException:
    _redact_texts(error)
    said = _said(error)
    if redacted(said) == said:
        return error
    return _in_plain_words(error, redacted(said).strip()).with_traceback(error.__traceback__)


def _redact_texts(error: BaseException) -> None:
    """Changes an error's texts in place: arguments, attributes, notes."""
    with suppress(AttributeError, TypeError):  # some have arguments of their own making
        error.args = tuple(redacted(part) if isinstance(part, str) else part for part in error.args)
    for name in ("strerror", "filename", "filename2") if isinstance(error, OSError) else ():
        if isinstance(getattr(error, name), str):
            setattr(error, name, redacted(getattr(error, name)))
    kept = vars(error)
    kept.update({name: redacted(value) for name, value in kept.items() if isinstance(value, str)})
    notes = kept.get("__notes__")
    if isinstance(notes, list):
        notes[:] = [redacted(note) if isinstance(note, str) else note for note in notes]


def _said(error: BaseException) -> str:
    """Returns what a traceback says of an error besides the places; of a group all of it."""
    is_group = isinstance(getattr(error, "exceptions", None), tuple)
    shown = traceback.format_exception if is_group else traceback.format_exception_only
    return "".join(shown(error))


def _in_plain_words(error: BaseException, words: str) -> BaseException:
    for kind in type(error).__mro__:
        text = words.removeprefix(f"{kind.__name__}: ") if kind is type(error) else words
        with suppress(Exception):  # it takes more than a text
            made: BaseException = kind(text)
            if kind.__module__ == "builtins" and str(made) == text:
                return made
    raise AssertionError(type(error))  # BaseException takes any text


def _redacted_record(record: logging.LogRecord) -> logging.LogRecord:
    try:
        said = record.getMessage()
    except Exception:  # words that do not fit their places, which logging would tell with all that was being handled
        said = record.msg = f"{record.msg!r} with {record.args!r}"
        record.args = None
    if redacted(said) != said:
        record.msg, record.args = redacted(said), None
    if record.exc_info:
        said = logging.Formatter().formatException(record.exc_info)
        if redacted(said) != said:
            record.exc_info, record.exc_text = None, redacted(said)
    return record


def _uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    sys.stderr.write(redacted("".join(traceback.format_exception(kind, error, trace))))


def _uncaught_in_a_thread(told: Any) -> None:
    if told.exc_type is not SystemExit:
        sys.stderr.write(f"Exception in thread {told.thread.name if told.thread else '?'}:\n")
        _uncaught(told.exc_type, told.exc_value, told.exc_traceback)


def _unraisable(told: Any) -> None:
    sys.stderr.write(redacted(f"{told.err_msg or 'Exception ignored in'}: {told.object!r}\n"))
    _uncaught(told.exc_type, told.exc_value, told.exc_traceback)
