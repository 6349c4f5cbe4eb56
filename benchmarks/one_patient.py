"""Time the answer about one patient: the whole process of predict.py, for a model with a formula and for a network.

python benchmarks/one_patient.py [--rounds 7] [--epochs 20]
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import rivals

ROOT = Path(__file__).resolve().parent.parent
PATIENT = ["patient.age=70", "patient.volume_ml=25", "patient.hours=2"]
LIMITS = {"ridge2": 1.0, "sacnn": 5.0}  # seconds
SETTINGS = {"ridge2": [], "sacnn": ["features=admission"]}


def main() -> None:
    """Print the median seconds of each model beside its limit, and of a process that only starts Hydra."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--epochs", type=int, default=20)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        commands = {"--help (Hydra's start)": ["--help"]}
        for model, settings in SETTINGS.items():
            run = f"{folder}/{model}"
            training = [f"model={model}", *settings, f"trainer.max_epochs={options.epochs}", "evaluation=off"]
            call("train.py", [*training, "trainer.progress_bar=false", f"output_dir={run}"])
            commands[model] = [f"run_dir={run}", *PATIENT, f"output_dir={folder}/answer of {model}"]
        seconds: dict[str, list[tuple[float, float]]] = {name: [] for name in commands}
        for _ in range(options.rounds):
            for name, arguments in commands.items():
                seconds[name].append(call("predict.py", arguments))
    rows = []
    for name, measured in seconds.items():
        wall, cpu = (statistics.median(values) for values in zip(*measured, strict=True))
        rows.append([name, wall, cpu, LIMITS.get(name, "")])
    rivals.table(["one patient", "seconds", "CPU seconds", "limit"], rows)


def call(script: str, arguments: list[str]) -> tuple[float, float]:
    """Run a command; return its wall time and its CPU time in seconds."""
    before, started = os.times(), time.perf_counter()
    subprocess.run([sys.executable, str(ROOT / script), *arguments], check=True, capture_output=True)
    wall, after = time.perf_counter() - started, os.times()
    return wall, after.children_user + after.children_system - before.children_user - before.children_system


if __name__ == "__main__":
    main()
