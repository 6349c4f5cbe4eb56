"""Run ``python -m hemexp train ...`` as the installed command ``hemexp train ...``."""

from hemexp.cli import main

if __name__ == "__main__":
    main()
