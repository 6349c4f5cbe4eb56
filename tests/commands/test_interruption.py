"""Runs that are interrupted or killed."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from small import ROOT

pytestmark = pytest.mark.slow
SETTINGS = [
    "trainer.max_epochs=400", "trainer.stop_loss=null", "trainer.checkpoint_every=20", "model.dropout=0.2",
    "evaluation=off",
]  # fmt: skip


def start(directory: Path, workbooks: Path) -> subprocess.Popen[str]:
    command = [sys.executable, str(ROOT / "train.py"), f"data.root={workbooks}", f"output_dir={directory}", *SETTINGS]
    return subprocess.Popen(command, cwd=directory.parent, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def wait_for(path: Path, process: subprocess.Popen[str]) -> None:
    while not path.exists():
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)


@pytest.fixture(scope="module")
def whole(workbooks: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("whole") / "run"
    process = start(directory, workbooks)
    process.communicate()
    assert process.returncode == 0
    return directory


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_stopped_run_resumes_to_the_same_numbers(
    number: signal.Signals, whole: Path, workbooks: Path, tmp_path: Path
):
    directory = tmp_path / "run"
    process = start(directory, workbooks)
    wait_for(directory / "checkpoints" / "last.ckpt", process)
    process.send_signal(number)
    _, errors = process.communicate(timeout=120)
    result = json.loads((directory / "result.json").read_text())
    assert result["verdict"].startswith("INCOMPLETE")
    assert not (directory / "DONE").exists()
    if number != signal.SIGKILL:
        assert process.returncode == 1
        assert "resumes" in errors
        assert "Traceback" not in errors
        assert (directory / "FAILED").is_file()

    again = start(directory, workbooks)
    _, errors = again.communicate(timeout=300)
    assert again.returncode == 0, errors
    assert "resuming" in errors
    for name in ("history.csv", "predictions.csv"):
        assert (directory / name).read_bytes() == (whole / name).read_bytes()


def test_a_second_process_is_refused(workbooks: Path, tmp_path: Path):
    first = start(tmp_path / "run", workbooks)
    wait_for(tmp_path / "run" / "result.json", first)
    second = start(tmp_path / "run", workbooks)
    _, errors = second.communicate(timeout=120)
    assert second.returncode == 2
    assert "another process is writing there" in errors
    first.communicate(timeout=300)
    assert first.returncode == 0


@pytest.mark.parametrize("command", ["predict", "report", pytest.param("train", marks=pytest.mark.nightly)])
def test_a_command_that_was_killed_anywhere_completes_with_the_same_bytes(command: str, tmp_path: Path):
    short = ["--kills", "3", "--epochs", "3", "--moments", "before"]
    benchmark = [sys.executable, str(ROOT / "benchmarks" / "kills.py"), "--commands", command, *short]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(benchmark, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=3600, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"| {command} | SIGKILL at a rename | " in done.stdout


def test_a_run_whose_directory_is_removed_ends_with_one_line_and_1(workbooks: Path, tmp_path: Path):
    directory = tmp_path / "run"
    process = start(directory, workbooks)
    wait_for(directory / "checkpoints" / "last.ckpt", process)
    shutil.rmtree(directory, ignore_errors=True)
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 1
    assert "error: " in errors.splitlines()[-1]
    assert "it was removed" in errors.splitlines()[-1]
    assert "Traceback" not in errors
    assert not (directory / "DONE").exists()
