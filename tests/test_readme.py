"""The README's commands, in the README's order, in an empty folder, with small settings."""

import re
import shlex
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest
from small import FAST, ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")
COMMANDS = [line for block in re.findall(r"```bash\n(.*?)```", README, flags=re.DOTALL) for line in block.splitlines()]
BY_CI = [  # .ci/run runs these themselves: they install, or run the test suite
    "pip install -c constraints.txt -e . && python train.py",
    'pip install -c constraints.txt -e ".[test]" && pytest',
    "make check",
    "make slow",
]


def test_ci_runs_what_is_not_run_here():
    assert set(BY_CI) <= set(COMMANDS)
    ci, makefile = (ROOT / ".ci" / "run").read_text(), (ROOT / "Makefile").read_text()
    assert "pip install --quiet -c constraints.txt -e . && python train.py" in ci
    assert 'pip install --quiet -c constraints.txt -e ".[test]" && pytest' in ci
    assert "make lint types" in ci
    assert "make slow" in ci
    assert "check: lint types test" in makefile


def test_every_choice_in_the_table_exists():
    for group, cell in re.findall(r"\| `(\w+)=` \| (.*?) \|\n", README):
        if not (ROOT / "conf" / group).is_dir() or group == "data":
            continue
        named = set(re.findall(r"`(\w+)`", cell))
        assert named == {path.stem for path in (ROOT / "conf" / group).glob("*.yaml")}


def settings_for(arguments: list[str]) -> list[str]:
    """Return what makes a line of train.py quick, where it is not meant to be."""
    keys = {argument.partition("=")[0]: argument.partition("=")[2] for argument in arguments}
    if "debug" in keys:
        return []
    if "search" in keys:  # chooses by cross-validation
        return ["trainer.max_epochs=3", "evaluation.num_repeats=1", "evaluation.threshold_repeats=0"]
    return [setting for setting in FAST if setting.partition("=")[0] not in keys]


@pytest.mark.slow
def test_the_commands_run_in_order(tmp_path: Path):
    for line in (line for line in COMMANDS if line not in BY_CI):
        program, *arguments = shlex.split(line)
        if program == "tensorboard":
            serve(arguments, tmp_path)
            continue
        if program == "eval":
            complete(line, tmp_path)
            continue
        assert program == "python"
        small = settings_for(arguments) if arguments[0] == "train.py" else []
        command = [sys.executable, str(ROOT / arguments[0]), *arguments[1:], *small]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=1200, check=False)
        assert done.returncode == 0, f"{line}\n{done.stderr}"
    assert len(list(tmp_path.glob("outputs/grid/*/DONE"))) == 18
    assert len(list(tmp_path.glob("outputs/models/*/DONE"))) == 12
    assert len(list(tmp_path.glob("outputs/sweeps/*/*/DONE"))) == 4
    assert (tmp_path / "outputs" / "first" / "DONE").is_file()
    assert (tmp_path / "outputs" / "first" / "report.html").is_file()
    assert (tmp_path / "outputs" / "grid" / "report.html").is_file()
    assert len(list(tmp_path.glob("outputs/predict/*/predictions.csv"))) == 1


def complete(line: str, folder: Path) -> None:
    line = line.replace("python train.py", f"{shlex.quote(sys.executable)} {shlex.quote(str(ROOT / 'train.py'))}")
    done = subprocess.run(
        ["bash", "-c", f"{line} && complete -p"], cwd=folder, capture_output=True, text=True, timeout=120, check=False
    )
    assert "hydra" in done.stdout, done.stderr


@pytest.mark.slow
def test_the_python_example_runs(tmp_path: Path):
    (example,) = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
    for words, fewer in (("max_epochs=100", "max_epochs=5"), ("n_repeats=20", "n_repeats=2")):
        assert words in example
        example = example.replace(words, fewer)
    (tmp_path / "example.py").write_text(example)
    done = subprocess.run(
        [sys.executable, "example.py"], cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    assert re.search(r"^mean AUROC of 10 fits 0\.\d{3}$", done.stdout, flags=re.MULTILINE)


def serve(arguments: list[str], folder: Path) -> None:
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "tensorboard.main", *arguments, "--port", str(port)]
    server = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for _ in range(120):
            try:
                with urllib.request.urlopen(f"http://localhost:{port}/data/runs", timeout=5) as page:
                    if b"first/tensorboard" in page.read():
                        return
            except OSError:
                pass
            time.sleep(0.5)
        pytest.fail("TensorBoard does not show the run")
    finally:
        server.terminate()
        server.wait()
