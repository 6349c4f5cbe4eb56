"""Error messages for mistakes on the command line."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from omegaconf.errors import OmegaConfBaseException

from hemexp.config.commands import PredictConfig, ReportConfig
from hemexp.config.compose import list_choices, list_keys
from hemexp.config.foreign_words import explain_arguments, explain_word, list_known
from hemexp.config.keys import describe_unknown
from hemexp.config.section import list_sections

_SEARCHED = ("--config-dir", "--config-path", "-cd", "-cp", "hydra.searchpath")  # they add folders with choices
_NOT_FOR_USERS = ("To append to", "    ", "Config search path", "\tprovider=")  # first words of lines in Hydra's errors


def find_foreign_word(arguments: Sequence[str], schema: type[Any]) -> str | None:
    """Return the message for the first word of another template among the arguments of a command.

    Hydra must decide about its own settings, and about groups in the user's folders.
    """
    if any(each.lstrip("+").startswith(_SEARCHED) for each in arguments):
        return None
    found = explain_arguments(arguments, schema, list_choices())
    return next((message for key, message in found if not key.startswith("hydra")), None)


def explain_error(error: Exception, schema: type[Any] | None = None, arguments: Sequence[str] = ()) -> str:
    """Return the message of an error for the user: without Hydra's internal details, with a suggestion.

    Args:
        error: of this package, Hydra or OmegaConf.
        schema: of the command; without it, no key is suggested.
        arguments: of the command line.
    """
    for key, message in explain_arguments(arguments, schema, list_choices()) if schema else ():
        if key in str(error):
            return message
    cause = str(error.__cause__) if isinstance(error.__cause__, OmegaConfBaseException) else ""
    lines = [line for line in f"{error}\n{cause}".splitlines() if line.strip() and not line.startswith(_NOT_FOR_USERS)]
    too_large = re.search(r"full_key: (\S+)", str(error)) if isinstance(error, OverflowError) else None
    if too_large:
        return f"{too_large[1]}: the number is too large"
    if schema is None or not lines:
        return "\n".join(lines)
    if "Could not find 'model/" in lines[0]:
        lines.append("A model of yours needs plugins=[my_module], which registers it, or --config-dir=FOLDER.")
    no_key = re.search(r"(?:Error parsing override '|LexerNoViableAltException: )([^='\n]+)'?$", lines[0])
    if no_key:
        key = _guess_key(no_key[1], schema)
        suggestion = f"did you mean {key}={no_key[1]}?" if key else "see --help"
        return f"{no_key[1]}: settings are written KEY=VALUE, and a value with spaces in quotation marks; {suggestion}"
    in_file = re.match(r"In '([^']+)': (\w+) raised", lines[0])
    found = re.search(r"full_key: (\S+)", f"{error}\n{cause}")
    if in_file and in_file[2] == "ConfigKeyError" and found:
        return f"In the file {in_file[1]}.yaml: {describe_unknown(found[1], list_keys(schema), schema)}"
    text = re.search(r"str is not a subclass of (\w+)\. value: (\S+)", str(error))
    section = next((each.PREFIX for each in list_sections() if text and each.__name__ == text[1]), "")
    if in_file and text and (advice := explain_word(section, text[2], schema)):
        return f"In the file {in_file[1]}.yaml: {section}={text[2]}: there is no such setting in hemexp; {advice}"
    unknown = re.search(r"Could not override '([\w.]+)'", lines[0])
    if unknown:
        start, key = lines[0][: unknown.start()], unknown[1]
        if start.startswith("In '") and list_known(schema).get(key):  # the list of defaults chooses from a section
            advice = f"cannot be chosen in a file; give {key}=NAME on the command line"
            if key not in list_choices():
                advice = f"there is no such setting in hemexp; {explain_word(key, '', schema) or 'set its keys'}"
            return f"{start}{key}: {advice}"
        typed = (each.lstrip("+").partition("=") for each in arguments)
        value = next((value for name, _, value in typed if name == key), "")
        return f"{start}{describe_unknown(key, list_keys(schema), schema, value)}"
    return "\n".join(lines)


def _guess_key(path: str, schema: type[Any]) -> str:
    """Return the key that a directory was meant for, from its content; empty if the path is not a directory."""
    if schema is ReportConfig:
        return "sweep_dir" if Path(path, "leaderboard.csv").is_file() else "run_dir"
    if schema is PredictConfig and not (Path(path).is_dir() and not Path(path, "result.json").is_file()):
        return "run_dir"
    return "data.root" if Path(path).is_dir() else ""
