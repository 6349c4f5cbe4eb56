"""Start a command: ``python -m hemexp train ...``, ``hemexp train ...`` or ``python train.py ...``.

Signals and a lost output are handled from here on, before Hydra is imported.
"""

from typing import NoReturn

from hemexp.process import run_guarded


def main(name: str = "") -> NoReturn:
    """Run a command and exit with its code.

    Args:
        name: train, prepare, predict, update, report or audit; empty: the first argument of the process.
    """
    run_guarded(lambda: _start(name))


def _start(name: str) -> None:
    from hemexp import cli

    if name:
        cli.command(name)
    cli.main()


if __name__ == "__main__":
    main()
