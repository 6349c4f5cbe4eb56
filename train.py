"""Train and evaluate a model on a cohort: ``python train.py --help``."""

from hemexp.cli import command

if __name__ == "__main__":
    command("train")
