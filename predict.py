"""Predict expansion for every patient of a cohort with a finished run: ``python predict.py --help``."""

from hemexp.__main__ import main

if __name__ == "__main__":
    main("predict")
