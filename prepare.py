"""Read, check, merge and label a cohort: ``python prepare.py --help``."""

from hemexp.__main__ import main

if __name__ == "__main__":
    main("prepare")
