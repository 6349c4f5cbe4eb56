"""Write one self-contained page about a run or a sweep: ``python report.py --help``."""

from hemexp.__main__ import main

if __name__ == "__main__":
    main("report")
