"""The process of a command: its output, the signals that end it, and the errors of the system that it meets.

It imports nothing large: it is set up before Hydra is imported.
"""

import copy
import errno
import io
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any, NoReturn

_AGAIN = "then give the same command again"
_ADVICE = {  # by error number: what to do
    **dict.fromkeys((errno.ENOSPC, getattr(errno, "EDQUOT", -1)), f"free some space, {_AGAIN}"),
    errno.EFBIG: f"raise the limit of the size of a file, {_AGAIN}",
    **dict.fromkeys((errno.EROFS, errno.EACCES, errno.EPERM), f"make it writable, {_AGAIN}"),
    **dict.fromkeys((errno.EMFILE, errno.ENFILE), f"raise the limit of open files (ulimit -n), {_AGAIN}"),
    errno.ENOMEM: f"close other programs, {_AGAIN}",
    errno.ENOENT: "it was removed or renamed while the command was running; give the same command again",
}
_CHECK_DISK = f"check the disk or the network drive, {_AGAIN}"
_AT_START = (errno.ENOENT, errno.ENOTDIR, errno.EACCES, errno.EPERM, errno.EROFS, errno.EEXIST, errno.ENAMETOOLONG)


def find_system_error(error: BaseException | None) -> OSError | MemoryError | None:
    """Return the error of the system that is behind an error of a library; None where there is none."""
    if error is None or isinstance(error, OSError | MemoryError):
        return error
    wrapped = error.args[0] if error.args and isinstance(error.args[0], Exception) else error.__cause__
    return find_system_error(wrapped)


def describe_error(error: BaseException) -> str:
    """Return an error that is not the user's mistake in one line: what failed, why, and what to do."""
    error = find_system_error(error) or error
    reason = " ".join(str(error).split())
    if isinstance(error, MemoryError):
        return f"there is not enough memory{f' ({reason})' if reason else ''}: close other programs, {_AGAIN}"
    if isinstance(error, OSError) and error.errno is not None:
        place = f"{os.fsdecode(error.filename)}: " if isinstance(error.filename, str | bytes) else ""
        return f"{place}{error.strerror or reason}: {_ADVICE.get(error.errno, _CHECK_DISK)}"
    return f"{type(error).__name__}: {reason}" if reason else type(error).__name__


def is_wrong_place(error: OSError) -> bool:
    """Whether an error of a command that begins means that another directory must be named."""
    return error.errno in _AT_START


class Output(io.FileIO):
    """A file for texts that never stops a command.

    Where its reader has gone, such as ``head -1``, or the disk is full, the rest of the text is dropped.
    """

    error: OSError | None = None  # the first one, except a reader that has gone

    def write(self, data: Any) -> int:
        """Write bytes, or drop them."""
        try:
            return super().write(data)
        except OSError as error:
            if not isinstance(error, BrokenPipeError) and self.error is None:
                self.error = error
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self.fileno())
            os.close(nowhere)
            return memoryview(data).nbytes


def open_text(output: Output, encoding: str, errors: str, line_buffering: bool) -> io.TextIOWrapper:
    """Return the text stream of an output; `errors` says what replaces characters that the encoding does not know."""
    return io.TextIOWrapper(io.BufferedWriter(output), encoding, errors, line_buffering=line_buffering)


def _use_utf8_names() -> None:
    """Start again in Python's UTF-8 mode where the language settings (``LC_ALL=C``) allow file names in ASCII only."""
    if os.name == "posix" and sys.getfilesystemencoding() == "ascii" and os.environ.get("PYTHONUTF8") != "1":
        os.environ["PYTHONUTF8"] = "1"
        os.environ.setdefault("PYTHONIOENCODING", "ascii:replace")  # the console stays as it is
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])


def _protect_outputs() -> None:
    """Open closed standard streams, and replace standard output and error by an `Output` each."""
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:  # closed, such as by `>&-`: the next file that is opened would get this number
            os.open(os.devnull, os.O_RDWR)
    if sys.stdin is None:
        sys.stdin = io.TextIOWrapper(io.BufferedReader(io.FileIO(0, closefd=False)), "utf-8")
    for number, name, errors in ((1, "stdout", "replace"), (2, "stderr", "backslashreplace")):
        stream, output = getattr(sys, name), Output(number, "w", closefd=False)
        encoding = getattr(stream, "encoding", None) or "utf-8"
        text = open_text(output, encoding, errors, line_buffering=number == 2 or output.isatty())
        setattr(sys, name, text)
        setattr(sys, f"__{name}__", text)


def _get_output_error(stream: Any) -> OSError | None:
    """Write what is buffered; return the error that made a stream drop text, None if it took everything."""
    with suppress(OSError, ValueError):
        stream.flush()
    error: OSError | None = getattr(getattr(getattr(stream, "buffer", None), "raw", None), "error", None)
    return error


def raise_interrupt(number: int, frame: FrameType | None) -> None:
    """Handle a signal as Ctrl-C."""
    raise KeyboardInterrupt


def get_ending_signals() -> list[int]:
    """Return the signals that end a command as Ctrl-C does; SIGHUP is not one where ``nohup`` has it ignored."""
    if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:
        return [signal.SIGTERM, signal.SIGHUP]
    return [signal.SIGTERM]


@contextmanager
def interrupt_on(signals: Sequence[int]) -> Iterator[None]:
    """Handle signals as Ctrl-C, so that what runs can save its state; outside the main thread, change nothing."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    previous = {number: signal.signal(number, raise_interrupt) for number in signals}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


class ConsoleFormatter(logging.Formatter):
    """Show a record in one piece without its traceback, which is in the log file."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the text of a record."""
        record = copy.copy(record)
        record.exc_info = record.exc_text = record.stack_info = None
        return super().format(record)


def _log_unraisable(unraisable: Any) -> None:
    """Log the error of an object that is deleted, such as a file on a full disk; it changes nothing."""
    logging.getLogger(__name__).debug("%s: %s", unraisable.err_msg, unraisable.exc_value)
    if isinstance(unraisable.exc_value, KeyboardInterrupt):  # the signal came meanwhile: it would be lost
        again = threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGTERM))
        again.daemon = True
        again.start()


def _log_thread_error(error: threading.ExceptHookArgs) -> None:
    """Log the error of a thread, such as of TensorBoard's writer on a full disk; the main thread meets it, too."""
    logging.getLogger(__name__).debug("%s: %s", error.thread, error.exc_value)


def run_guarded(start: Callable[[], object]) -> NoReturn:
    """Run a command: signals end it as Ctrl-C does, and a lost output does not end it.

    Args:
        start: the command; it ends with SystemExit.

    Raises:
        SystemExit: the end of the command, with 1 after an interruption or an error of the system.
    """
    _use_utf8_names()
    _protect_outputs()
    logging.raiseExceptions = False  # a log on a full disk is no reason for a traceback
    sys.unraisablehook = _log_unraisable
    threading.excepthook = _log_thread_error
    code: Any = 0
    try:
        with interrupt_on(get_ending_signals()):
            start()
    except SystemExit as end:
        code = end.code
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        code = 1
    except (OSError, MemoryError) as error:
        print(f"error: {describe_error(error)}", file=sys.stderr)
        code = 1
    lost = _get_output_error(sys.stdout)
    if lost is not None and not code:
        text = "the text is lost, the files that the command wrote are complete"
        print(f"error: standard output: {lost.strerror}: {text}", file=sys.stderr)
        code = 1
    _get_output_error(sys.stderr)
    raise SystemExit(code)
