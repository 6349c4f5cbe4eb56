"""The commands and examples of the README and the docs, in an empty folder, with small settings."""

import re
import shlex
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest
from cohort.hospital import draw_scans
from small import FAST, ROOT

from hemexp.config import MODELS

README = (ROOT / "README.md").read_text(encoding="utf-8")
USAGE = (ROOT / "docs" / "usage.md").read_text(encoding="utf-8")
OWN_DATA = (ROOT / "docs" / "your-own-data.md").read_text(encoding="utf-8")
PYTHON = "".join((ROOT / "docs" / page).read_text(encoding="utf-8") for page in ("python.md", "scikit_learn.md"))
RUN_BY_CI = [  # they install, or run the test suite
    "pip install -c constraints.txt -e . && python train.py",
    'pip install -c constraints.txt -e ".[test]" && pytest',
    "make check",
]
PYTHON_OUTPUTS = [
    r"^AUROC of the test part 0\.\d{3}$",
    r"^mean AUROC of 10 fits 0\.\d{3}$",
    r"^the same risk for all .* 0\.\d{3}, AUROC 0\.500\n(.* Brier score 0\.\d{3}, AUROC 0\.\d{3}\n){3}$",
]
FEWER = [
    ("max_epochs=100", "max_epochs=5"),
    ("n_repeats=20", "n_repeats=2"),
    ("SACNNClassifier(", "SACNNClassifier(max_epochs=5, "),
]


def blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", page, flags=re.DOTALL)


def commands(page: str) -> list[str]:
    return [line for block in blocks(page, "bash") for line in block.splitlines() if line not in RUN_BY_CI]


def test_ci_runs_the_commands_that_are_not_run_here():
    assert set(RUN_BY_CI) <= {line for block in blocks(README, "bash") for line in block.splitlines()}
    ci, makefile = (ROOT / ".ci" / "run").read_text(), (ROOT / "Makefile").read_text()
    assert "pip install --quiet -c constraints.txt -e . && python train.py" in ci
    assert 'pip install --quiet -c constraints.txt -e ".[test]" && pytest' in ci
    assert "make lint types" in ci
    assert "make slow" in ci
    assert "check: lint types test" in makefile


def test_the_readme_has_at_most_120_lines():
    assert len(README.splitlines()) <= 120


@pytest.mark.parametrize(
    "path", [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))], ids=lambda path: path.name
)
def test_every_linked_file_exists(path: Path):
    links = re.findall(r"\]\(([^)#:]+)\)", path.read_text(encoding="utf-8"))
    assert [link for link in links if not (path.parent / link).exists()] == []


def test_every_choice_in_the_table_exists():
    groups = re.findall(r"\| `(\w+)=` \| (.*?) \|\n", USAGE)
    assert {"label", "features", "split", "model", "where", "search"} <= {group for group, _ in groups}
    for group, cell in groups:
        if group == "data":
            continue
        named = set(re.findall(r"`(\w+)`", cell))
        choices = {path.stem for path in (ROOT / "conf" / group).glob("*.yaml")}
        models = {name for name, entry in MODELS.items() if not entry.plugin}
        assert named == (models if group == "model" else choices)


def quick_settings(arguments: list[str]) -> list[str]:
    """Return settings that make a line of train.py quick, without the keys that the line sets."""
    keys = {argument.partition("=")[0] for argument in arguments}
    if "debug" in keys:
        return []
    if "search" in keys:  # it ranks by cross-validation
        return ["trainer.max_epochs=3", "evaluation.num_repeats=1", "evaluation.threshold_repeats=0"]
    return [setting for setting in FAST if setting.partition("=")[0] not in keys]


def run_in_order(lines: list[str], folder: Path) -> None:
    for line in lines:
        program, *arguments = shlex.split(line)
        if program == "tensorboard":
            serve(arguments, folder)
            continue
        if program == "eval":
            complete(line, folder)
            continue
        assert program == "python"
        quick = quick_settings(arguments) if arguments[0] == "train.py" else []
        command = [sys.executable, str(ROOT / arguments[0]), *arguments[1:], *quick]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=1200, check=False)
        assert done.returncode == 0, f"{line}\n{done.stderr}"


@pytest.mark.slow
def test_the_commands_of_the_readme_run_in_order(tmp_path: Path):
    run_in_order(commands(README), tmp_path)
    assert len(list(tmp_path.glob("outputs/grid/*/DONE"))) == 18
    for file in ("first/DONE", "first/report.html", "grid/report.html"):
        assert (tmp_path / "outputs" / file).is_file()
    assert len(list(tmp_path.glob("outputs/predict/*/predictions.csv"))) == 1


@pytest.mark.slow
def test_the_commands_of_the_usage_page_run_in_order(tmp_path: Path):
    run_in_order(commands(USAGE), tmp_path)
    assert (tmp_path / "outputs" / "ridge" / "DONE").is_file()
    assert len(list(tmp_path.glob("outputs/models/*/DONE"))) == 12
    assert len(list(tmp_path.glob("outputs/sweeps/*/*/DONE"))) == 4


@pytest.mark.slow
def test_three_commands_go_from_a_spreadsheet_to_a_report(tmp_path: Path):
    table = draw_scans(60)[["patient", "time", "onset", "age", "sex", "ml"]]
    table.columns = ["Patient", "CT time", "Onset", "Age", "Sex", "Hematoma volume (mL)"]
    table.to_excel(tmp_path / "registry.xlsx", index=False)
    run_in_order(commands(OWN_DATA), tmp_path)
    assert (tmp_path / "run" / "report.html").is_file()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("example", "output"),
    list(zip(blocks(PYTHON, "python"), PYTHON_OUTPUTS, strict=True)),
    ids=["one model", "many models", "scikit-learn"],
)
def test_the_python_examples_run(example: str, output: str, tmp_path: Path):
    for words, fewer in FEWER:
        example = example.replace(words, fewer)
    (tmp_path / "example.py").write_text(example)
    done = subprocess.run(
        [sys.executable, "example.py"], cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    assert re.search(output, done.stdout, flags=re.MULTILINE), done.stdout


def complete(line: str, folder: Path) -> None:
    line = line.replace("python train.py", f"{shlex.quote(sys.executable)} {shlex.quote(str(ROOT / 'train.py'))}")
    done = subprocess.run(
        ["bash", "-c", f"{line} && complete -p"], cwd=folder, capture_output=True, text=True, timeout=120, check=False
    )
    assert "hydra" in done.stdout, done.stderr


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
                    if b"ridge/tensorboard" in page.read():
                        return
            except OSError:
                pass
            time.sleep(0.5)
        pytest.fail("TensorBoard does not show the run")
    finally:
        server.terminate()
        server.wait()
