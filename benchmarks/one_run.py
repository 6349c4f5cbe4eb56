"""Time one run of hemexp against the same step in a bare loop, a plain PyTorch loop and Lightning.

python benchmarks/one_run.py [--epochs 200] [--rounds 5] [--bare]
"""

import argparse
import tempfile
from pathlib import Path

import rivals
from lightning.pytorch.loggers import TensorBoardLogger

from hemexp.training.fit import fit


def main() -> None:
    """Print the milliseconds an epoch of every program and its ratio to hemexp."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--epochs", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--bare", action="store_true", help="compare only with the same step in a bare loop")
    options = parser.parse_args()
    member, epochs = rivals.main_member(), options.epochs
    with tempfile.TemporaryDirectory() as folder:

        def train() -> None:
            """Train as train.py does, with TensorBoard, best weights and checkpoints."""
            path = Path(tempfile.mkdtemp(dir=folder))
            logger = TensorBoardLogger(path, name="", version="tensorboard")
            fit([member], rivals.trainer_config(epochs), directory=path, loggers=[logger])

        runs = {
            "hemexp: train.py's fit": train,
            "the same step in a bare loop": lambda: rivals.same_step_loop([member], epochs),
            "plain PyTorch loop": lambda: rivals.raw_loop(member, epochs),
            "tuned Lightning (barebones)": lambda: rivals.tuned_lightning(member, epochs),
            "default Lightning": lambda: rivals.default_lightning(member, epochs),
        }
        if options.bare:
            runs = {name: runs[name] for name in list(runs)[:2]}
        seconds = rivals.time_in_turn(runs, options.rounds)
    hemexp = seconds["hemexp: train.py's fit"]
    rows = [[name, 1000 * value / epochs, value / hemexp] for name, value in seconds.items()]
    rivals.table(["one run", "ms an epoch", "times hemexp's"], rows)


if __name__ == "__main__":
    main()
