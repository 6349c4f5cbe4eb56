"""Update a model for another hospital, and validate the update there: ``python update.py --help``."""

from hemexp.__main__ import main

if __name__ == "__main__":
    main("update")
