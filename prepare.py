"""Read, check, merge and label a cohort: ``python prepare.py --help``."""

from hemexp.cli import command

if __name__ == "__main__":
    command("prepare")
