"""Every benchmark runs with small settings and prints its tables; the measured times are not checked."""

import os
import subprocess
import sys

import pytest
from small import ROOT

ARGUMENTS = {
    "cohort.py": ["--patients", "200"],
    "jobs.py": ["--jobs", "4", "--runs", "1"],
    "one_run.py": ["--epochs", "3", "--rounds", "1"],
    "one_patient.py": ["--epochs", "2", "--rounds", "1"],
    "group.py": ["--epochs", "2", "--rounds", "1", "--members", "1", "2"],
    "simulation.py": ["--cohorts", "2", "--fresh", "1000", "--jobs", "1"],
    "commands.py": ["--epochs", "2", "--processes", "1", "--kernels", "3"],
    "kills.py": ["--commands", "prepare", "--kills", "3", "--moments", "before"],
    "nested.py": ["--repeats", "1", "--inner-repeats", "1", "--candidates", "ridge2", "firth, minimal", "prevalence"],
    "damage.py": ["--examples", "3", "--by-hand", "3"],
    "engines.py": ["--epochs", "2", "--fits", "2", "--rounds", "1"],
    "many.py": ["--members", "64", "128", "--epochs", "4"],
    "processes.py": ["--items", "2", "--seeds", "16"],
    "sweep.py": ["--epochs", "2", "--jobs", "2", "--fits", "3", "--rival-jobs", "1"],
}
LONG = {"commands.py", "sweep.py"}  # they also run the rival's processes
TABLES = {
    "cohort.py": 1,
    "jobs.py": 1,
    "one_run.py": 1,
    "one_patient.py": 1,
    "group.py": 5,
    "commands.py": 1,
    "kills.py": 1,
    "engines.py": 1,
    "many.py": 1,
    "nested.py": 1,
    "processes.py": 2,
    "sweep.py": 2,
    "damage.py": 2,
    "simulation.py": 5,
}


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.nightly if name in LONG else ()) for name in ARGUMENTS]
)
def test_a_benchmark_runs_and_prints_its_tables(name: str):
    command = [sys.executable, str(ROOT / "benchmarks" / name), *ARGUMENTS[name]]
    environment = {key: value for key, value in os.environ.items() if key != "HEMEXP_COHORT"}
    process = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=900, check=False)
    assert process.returncode == 0, process.stderr
    assert sum(line.startswith("| ---") for line in process.stdout.splitlines()) == TABLES[name]


def test_every_benchmark_is_tested_and_documented():
    names = {path.name for path in (ROOT / "benchmarks").glob("*.py")} - {"rivals.py"}
    page = "".join((ROOT / "docs" / name).read_text() for name in ("performance.md", "evaluation.md", "trust.md"))
    assert names == set(ARGUMENTS)
    assert all(f"python benchmarks/{name}" in page for name in names)
