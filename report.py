"""Write one self-contained page about a run or a sweep: ``python report.py --help``."""

from hemexp.cli import command

if __name__ == "__main__":
    command("report")
