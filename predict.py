"""Predict expansion for every patient of a cohort with a finished run: ``python predict.py --help``."""

from hemexp.cli import command

if __name__ == "__main__":
    command("predict")
