"""A command's output, signals and errors of the system, in processes of their own."""

import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from small import ROOT

from hemexp.process import describe_error

PRINT = f"print({'Größe 数据 '!a} * 4000)"
MANY_LINES = "for i in range(100000): print(i)"


def run(code: str, redirect: str = "", before: str = "", **env: str) -> subprocess.CompletedProcess[bytes]:
    """Run code as a command does, through a shell."""
    program = f"from hemexp.process import run_guarded\ndef start():\n    import sys, os, signal, time\n    {code}\n"
    program += "run_guarded(start)\n"
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PROGRAM": program, "PY": sys.executable, **env}
    line = f'{before} "$PY" -c "$PROGRAM" {redirect}'
    return subprocess.run(
        ["bash", "-c", line],
        env=environment,
        capture_output=True,
        timeout=60,
        check=False,
        preexec_fn=_use_default_signals,
    )


def _use_default_signals() -> None:
    """Undo what the tests' own process may have: a shell's background jobs ignore SIGINT, nohup ignores SIGHUP."""
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)


def test_a_reader_that_has_gone_does_not_end_the_command():
    done = run(MANY_LINES, '| head -1; exit "${PIPESTATUS[0]}"')
    assert (done.returncode, done.stdout, done.stderr) == (0, b"0\n", b"")
    done = run(f"{MANY_LINES}; os._exit(7)", '| head -1; exit "${PIPESTATUS[0]}"')
    assert done.returncode == 7  # it ran to its end


def test_rich_tables_into_a_reader_that_has_gone():
    code = "from rich.console import Console; [Console().print('x' * 200) for _ in range(1000)]"
    done = run(code, '| head -1; exit "${PIPESTATUS[0]}"')
    assert (done.returncode, done.stderr) == (0, b"")


def test_a_closed_output_takes_nothing_and_no_file_gets_its_place(tmp_path: Path):
    done = run(f"print('lost'); open({str(tmp_path / 'x')!r}, 'w').write('kept'); os.write(1, b'lost too')", ">&-")
    assert (done.returncode, done.stderr) == (0, b"")
    assert (tmp_path / "x").read_text() == "kept"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_an_output_on_a_full_disk_is_one_line_and_1():
    done = run(PRINT, "> /dev/full")
    assert done.returncode == 1
    assert done.stderr.startswith(b"error: standard output: No space left on device")
    assert done.stderr.count(b"\n") == 1


@pytest.mark.parametrize(
    "env", [{"PYTHONIOENCODING": "cp1252"}, {"PYTHONIOENCODING": "ascii"}, {"LC_ALL": "C", "PYTHONUTF8": "0"}]
)
def test_characters_that_the_console_does_not_know_are_replaced(env: dict[str, str]):
    done = run(f"{PRINT}; print({'数'!a}, file=sys.stderr)", **env)
    assert done.returncode == 0, done.stderr
    assert b"e ?? Gr" in done.stdout
    assert b"Traceback" not in done.stderr


def test_file_names_are_utf8_also_where_the_language_is_c(tmp_path: Path):
    (tmp_path / "表1.txt").touch()
    code = f"name, = os.listdir({str(tmp_path)!r}); print(name.encode().hex())"
    done = run(code, LC_ALL="C", PYTHONUTF8="0")
    assert done.stdout.strip().decode() == "表1.txt".encode().hex()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_signal_ends_a_command_with_one_line_and_1(number: signal.Signals):
    done = run(f"os.kill(os.getpid(), {int(number)}); time.sleep(9)")
    assert (done.returncode, done.stderr) == (1, b"interrupted\n")


def test_nohup_keeps_a_command_running():
    done = run("os.kill(os.getpid(), signal.SIGHUP); print('done')", before="trap '' HUP;")
    assert (done.returncode, done.stdout) == (0, b"done\n")


@pytest.mark.parametrize("raised", ["MemoryError()", "OSError(5, 'Input/output error', '/data/run/result.json')"])
def test_an_error_of_the_system_is_one_line_and_1(raised: str):
    done = run(f"raise {raised}")
    assert done.returncode == 1
    assert done.stderr.startswith(b"error: ")
    assert done.stderr.count(b"\n") == 1


def test_an_error_of_the_system_says_what_to_do():
    full = OSError(errno.ENOSPC, "No space left on device", "run/result.json")
    assert describe_error(full) == (
        "run/result.json: No space left on device: free some space, then give the same command again"
    )
    assert "ulimit" in describe_error(OSError(errno.EMFILE, "Too many open files"))
    assert "check the disk" in describe_error(OSError(errno.EIO, "Input/output error"))
    assert "not enough memory" in describe_error(MemoryError())
    assert describe_error(RuntimeError(full)) == describe_error(full)  # as XlsxWriter raises it
    assert describe_error(ValueError("two\nlines")) == "ValueError: two lines"


FAILURES = {  # what the job raises: what the console says
    "OSError(28, 'No space left on device', 'run/x.csv')": "error: run/x.csv: No space left on device: free some",
    "MemoryError()": "error: there is not enough memory",
    "KeyError('x')": "error: KeyError: 'x'\nthis is a defect of hemexp, please report it; the traceback is in ",
}


@pytest.mark.parametrize("raised", FAILURES)
def test_a_failed_job_keeps_its_traceback_for_the_log(raised: str, tmp_path: Path):
    code = (
        "import sys, hemexp.commands.prepare as job\ndef fail(cfg, directory):\n"
        f"    raise {raised}\njob.prepare = fail\nsys.argv = ['prepare.py', 'output_dir=run']\n"
        "from hemexp.__main__ import main\nmain('prepare')"
    )
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert done.stderr.startswith(FAILURES[raised])
    assert "Traceback" not in done.stderr
    assert "Traceback" in (tmp_path / "run" / "prepare.log").read_text(encoding="utf-8")
    assert not (tmp_path / "run" / ".lock").exists()


INTERRUPTED_WHILE_AN_OBJECT_IS_DELETED = """
import os, signal, time
from hemexp.process import run_guarded

class Slow:
    def __del__(self):
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(0.5)

def start():
    Slow()
    time.sleep(20)

run_guarded(start)
"""


def test_a_signal_that_comes_while_an_object_is_deleted_is_not_lost():
    """Python drops the exception of a handler there."""
    command = [sys.executable, "-c", INTERRUPTED_WHILE_AN_OBJECT_IS_DELETED]
    started = time.monotonic()
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (1, "interrupted\n")
    assert time.monotonic() - started < 15
