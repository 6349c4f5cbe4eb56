"""One run: the engine with every epoch's curve, against the same step in a bare loop, and against Lightning.

python benchmarks/one_run.py [--epochs 200] [--rounds 5] [--bare]
"""

import argparse
import tempfile
from pathlib import Path

import rivals
from lightning.pytorch.loggers import TensorBoardLogger

from hemexp.training.fit import fit


def main() -> None:
    """Print milliseconds an epoch and ratios."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--epochs", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--bare", action="store_true", help="against the bare loop of the same step only")
    options = parser.parse_args()
    one, epochs = rivals.member(), options.epochs
    with tempfile.TemporaryDirectory() as folder:

        def engine() -> None:
            """As train.py does: with TensorBoard, best weights and checkpoints."""
            path = Path(tempfile.mkdtemp(dir=folder))
            board = TensorBoardLogger(path, name="", version="tensorboard")
            fit([one], rivals.trainer(epochs), directory=path, loggers=[board])

        runs = {
            "hemexp: train.py's fit": engine,
            "the same step in a bare loop": lambda: rivals.same_step_loop([one], epochs),
            "plain PyTorch loop": lambda: rivals.raw_loop(one, epochs),
            "tuned Lightning (barebones)": lambda: rivals.tuned_lightning(one, epochs),
            "default Lightning": lambda: rivals.default_lightning(one, epochs),
        }
        if options.bare:
            runs = {name: runs[name] for name in list(runs)[:2]}
        seconds = rivals.interleave(runs, options.rounds)
    ours = seconds["hemexp: train.py's fit"]
    rows = [[name, 1000 * value / epochs, value / ours] for name, value in seconds.items()]
    rivals.table(["one run", "ms an epoch", "times hemexp's"], rows)


if __name__ == "__main__":
    main()
