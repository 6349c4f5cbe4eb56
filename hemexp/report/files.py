"""Read the files that a run and a sweep have in common, and check them."""

from collections.abc import Iterable
from pathlib import Path

import pandas as pd
from omegaconf import OmegaConf

from hemexp.errors import UserError
from hemexp.files.result import load_json


def read_table(
    path: Path, texts: Iterable[str], numbers: Iterable[str], prefixes: tuple[str, ...] = ()
) -> pd.DataFrame:
    """Read a CSV file with its cells as text, and its numbers as floats; an empty cell is an empty text or NaN.

    Args:
        path: of the file.
        texts: columns of text that it must have.
        numbers: columns of numbers that it must have.
        prefixes: other columns whose names begin like this hold numbers, too.

    Raises:
        UserError: the file is damaged, a column is missing, or a number is not one.
    """
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
    except (OSError, ValueError) as error:  # pandas' own errors are ValueErrors
        raise UserError(f"{path}: cannot be read as a table: {error}") from None
    missing = [name for name in [*texts, *numbers] if name not in table]
    if missing:
        raise UserError(f"{path}: has no column {', '.join(missing)}; rule: a file as train.py wrote it")
    for name in [*numbers, *(name for name in map(str, table) if name.startswith(prefixes))]:
        values = pd.to_numeric(table[name], errors="coerce").astype(float)
        wrong = table[name][values.isna() & (table[name] != "")]
        if len(wrong):
            raise UserError(f"{path}: row {wrong.index[0] + 2}, column {name} holds {wrong.iloc[0]!r}, not a number")
        table[name] = values
    return table


def read_patient_ids(paths: Iterable[Path]) -> set[str]:
    """Return the ids of the patients in files ``splits.json``; a file that does not exist is left out."""
    parts = [part for path in paths if path.is_file() for part in load_json(path).values()]
    return {str(name) for part in parts if isinstance(part, list) for name in part} - {""}


def read_overrides(path: Path) -> list[str] | None:
    """Return the overrides of a run from the file of Hydra; None if the file does not exist.

    Raises:
        UserError: the file does not hold a list of overrides.
    """
    if not path.is_file():
        return None
    try:
        content = OmegaConf.to_container(OmegaConf.load(path))
    except Exception as error:  # of YAML or of OmegaConf: many classes
        raise UserError(f"{path}: cannot be read as Hydra's overrides: {error}") from None
    if not isinstance(content, list):
        raise UserError(f"{path}: cannot be read as Hydra's overrides: it must hold a list")
    return [str(override) for override in content]
