"""Train and evaluate a model on a cohort: ``python train.py --help``."""

from hemexp.__main__ import main

if __name__ == "__main__":
    main("train")
