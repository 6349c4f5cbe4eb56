"""Error messages for mistakes on the command line."""

import re
from pathlib import Path
from typing import Any

from omegaconf.errors import OmegaConfBaseException

from hemexp.config.commands import PredictConfig, ReportConfig
from hemexp.config.compose import list_keys
from hemexp.config.keys import describe_unknown

_NOT_FOR_USERS = ("To append to", "    ", "Config search path", "\tprovider=")  # first words of lines in Hydra's errors


def explain_error(error: Exception, schema: type[Any] | None = None) -> str:
    """Return the message of an error for the user: without Hydra's internal details, with a suggestion.

    Args:
        error: of this package, Hydra or OmegaConf.
        schema: of the command; without it, no key is suggested.
    """
    cause = str(error.__cause__) if isinstance(error.__cause__, OmegaConfBaseException) else ""
    lines = [line for line in f"{error}\n{cause}".splitlines() if line.strip() and not line.startswith(_NOT_FOR_USERS)]
    too_large = re.search(r"full_key: (\S+)", str(error)) if isinstance(error, OverflowError) else None
    if too_large:
        return f"{too_large[1]}: the number is too large"
    if schema is None or not lines:
        return "\n".join(lines)
    no_key = re.search(r"(?:Error parsing override '|LexerNoViableAltException: )([^='\n]+)'?$", lines[0])
    if no_key:
        key = _guess_key(no_key[1], schema)
        suggestion = f"did you mean {key}={no_key[1]}?" if key else "see --help"
        return f"{no_key[1]}: settings are written KEY=VALUE, and a value with spaces in quotation marks; {suggestion}"
    in_file = re.match(r"In '([^']+)': ConfigKeyError", lines[0])
    found = re.search(r"full_key: (\S+)", f"{error}\n{cause}")
    if in_file and found:
        return f"In the file {in_file[1]}.yaml: {describe_unknown(found[1], list_keys(schema))}"
    unknown = re.search(r"Could not override '([\w.]+)'", lines[0])
    if unknown:
        return f"{lines[0][: unknown.start()]}{describe_unknown(unknown[1], list_keys(schema))}"
    return "\n".join(lines)


def _guess_key(path: str, schema: type[Any]) -> str:
    """Return the key that a directory was meant for, from its content; empty if the path is not a directory."""
    if schema is ReportConfig:
        return "sweep_dir" if Path(path, "leaderboard.csv").is_file() else "run_dir"
    if schema is PredictConfig and not (Path(path).is_dir() and not Path(path, "result.json").is_file()):
        return "run_dir"
    return "data.root" if Path(path).is_dir() else ""
