"""Run flawed protocols beside the honest one: ``python audit.py --help``."""

from hemexp.__main__ import main

if __name__ == "__main__":
    main("audit")
