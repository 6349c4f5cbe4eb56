"""Error messages for mistakes on the command line."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra.errors import HydraException, OverrideParseException
from omegaconf.errors import InterpolationKeyError, InterpolationResolutionError, OmegaConfBaseException

from hemexp.config.commands import PredictConfig, ReportConfig
from hemexp.config.compose import SCHEMAS, list_choices, list_keys
from hemexp.config.foreign_words import explain_arguments, explain_word, list_known
from hemexp.config.keys import describe_unknown
from hemexp.config.section import list_sections
from hemexp.config.wrong_values import (
    describe_choice,
    describe_several,
    describe_unreadable,
    describe_value,
    find_wrong_choice,
    list_known_choices,
)
from hemexp.errors import UserError

_SEARCHED = ("--config-dir", "--config-path", "-cd", "-cp", "hydra.searchpath")  # they add folders with choices
_NOT_FOR_USERS = ("To append to", "    ", "Config search path", "\tprovider=")  # first words of lines in Hydra's errors


def find_mistake(arguments: Sequence[str], schema: type[Any]) -> str | None:
    """Return the message for the first argument that is a word of another template, or not a choice of its group.

    Also for a value of a patient that is given twice: Hydra would take the last one without a word.

    Hydra must decide about its own settings, and about groups in the user's folders.
    """
    for argument in arguments:
        if re.match("[\u2010-\u2015\u2212]", argument):
            plain = argument.lstrip("\u2010\u2011\u2012\u2013\u2014\u2015\u2212")
            return f"{argument}: begins with a dash that is not a minus; settings are written KEY=VALUE; give {plain}"
    names = [argument.partition("=")[0].lstrip("+") for argument in arguments]
    for name in names:
        if name.startswith("patient.") and names.count(name) > 1:
            return f"{name}: is given twice; rule: each value once; remove one"
    if not any(each.lstrip("+").startswith(_SEARCHED) for each in arguments):
        for key, message in explain_arguments(arguments, schema, list_choices()):
            if not key.startswith("hydra"):
                return message
    return find_wrong_choice(arguments, schema)


def explain_error(error: Exception, schema: type[Any] | None = None, arguments: Sequence[str] = ()) -> str:
    """Return the message of an error for the user: without Hydra's internal details, with a suggestion.

    Args:
        error: of this package, Hydra or OmegaConf.
        schema: of the command; without it, no key is suggested.
        arguments: of the command line, as they were typed.
    """
    for key, message in explain_arguments(arguments, schema, list_choices()) if schema else ():
        if key in str(error):
            return message
    cause = str(error.__cause__) if isinstance(error.__cause__, OmegaConfBaseException) else ""
    whole = f"{error}\n{cause}"
    lines = [line for line in whole.splitlines() if line.strip() and not line.startswith(_NOT_FOR_USERS)]
    full_key = next(iter(re.findall(r"full_key: (\S+)", whole)), "")
    if isinstance(error, OverflowError) and full_key:
        return f"{full_key}: the number is too large"
    if isinstance(error, InterpolationResolutionError | InterpolationKeyError):
        text = next((each for each in arguments if "${" in each), lines[0]).replace('"', "")
        if "oc.env" in text:
            return f"{text}: {lines[0]}; rule: a variable that is set, with a value that the key can have"
        rule = "the text ${...} names another key; in single quotation marks the shell does not replace a variable"
        return f"{text}: there is no such key or variable; rule: {rule}"
    if schema is None or not lines:
        return "\n".join(lines)
    job = next(iter(re.findall(r"^job \d+ \(.*?\): ", lines[0])), "")
    line = lines[0].removeprefix(job)
    if isinstance(error, OverrideParseException):
        return _explain_argument(error.override, schema, arguments)
    in_file = re.match(r"In '([^']+)': ", line)
    where = f"{job}In the file {in_file[1]}.yaml: " if in_file and in_file[1] not in SCHEMAS else job
    found = re.search(r"Could not (?:find|load) '(?!hydra/)(\w+)/([^']*)'", line)
    if found:
        available = re.findall(r"^\t(\S+)$", whole, re.MULTILINE) or list_known_choices(found[1])
        typed = _get_typed(found[1], arguments)
        name = typed if typed.startswith("[") and found[1] not in {"logger", "experiment"} else found[2]
        plugins = _get_typed("plugins", arguments).strip("[]")
        return f"{where}{describe_choice(found[1], name, available, plugins.split(',') if plugins else ())}"
    commas = re.match(r"Ambiguous value for argument '(.+?)=(.*)'$", line)
    if commas:
        return describe_several(commas[1].lstrip("+"), commas[2], schema)
    unknown = re.search(r"Could not override '([^']+)'", line)
    if unknown or (full_key and re.search(r"Key '.*?' not in '|ConfigKeyError", whole)):
        key = unknown[1] if unknown and not full_key.startswith(unknown[1]) else full_key
        if in_file and unknown and list_known(schema).get(key):  # the list of defaults chooses from a section
            rule = f"cannot be chosen in a file; give {key}=NAME on the command line"
            if key not in list_choices():
                rule = f"there is no such setting in hemexp; {explain_word(key, '', schema) or 'set its keys'}"
            return f"{where}{key}: {rule}"
        return f"{where}{describe_unknown(key, _list_keys(schema, arguments), schema, _get_typed(key, arguments))}"
    section = re.search(r"str is not a subclass of (\w+)\. value: (\S+)", whole)
    prefix = next((each.PREFIX for each in list_sections() if section and each.__name__ == section[1]), "")
    if in_file and section and (advice := explain_word(prefix, section[2], schema)):
        return f"{where}{prefix}={section[2]}: there is no such setting in hemexp; {advice}"
    merged = re.match(r"Error merging override ([+~]*)([^=]+)=?(.*)$", line)
    if merged and merged[1] == "~":
        return f"{job}~{merged[2]}: a key cannot be deleted; leave it out, and it has its default"
    if merged or (in_file and full_key):
        given = re.search(r"Value '(.*)' of type|value: (.*)$", whole, re.MULTILINE)
        key = merged[2] if merged else full_key
        value = merged[3] if merged else str(given[1] or given[2]) if given else "..."
        reason = next((each for each in lines[1:] if "full_key" not in each), "")
        return f"{where}{describe_value(key, value, schema) or f'{key}={value}: {reason}'}"
    added = re.match(r"Could not append to config\. An item is already at '(.+?)'", line)
    if added:
        return f"+{added[1]}: hemexp has this key; leave out the sign +"
    return "\n".join([f"{job}{line}", *lines[1:]])


def _explain_argument(argument: str, schema: type[Any], arguments: Sequence[str]) -> str:
    """Return the message for an argument that Hydra cannot read."""
    argument = argument.removeprefix("++")  # hemexp adds it to a free key
    if "=" in argument:
        key = argument.lstrip("+").partition("=")[0]
        return describe_unreadable(argument, schema) or describe_unknown(key, _list_keys(schema, arguments), schema)
    # such as: model = cnn, model cnn, seed:3
    pairs = re.search(r"(?:^| )([\w.]+) ?(=| ) ?([^ =]+)(?: |$)", " ".join(arguments))
    colon = re.fullmatch(r"([\w.]+):(.+)", argument)
    known = list_known(schema)
    key = _guess_key(argument, schema)
    if pairs and argument in pairs[0].split() and pairs[1] in {*known, *list_choices()}:
        suggestion = f"did you mean {pairs[1]}={pairs[3]}?"
    elif colon and colon[1] in known:
        suggestion = f"did you mean {colon[1]}={colon[2]}?"
    else:
        suggestion = f"did you mean {key}={argument}?" if key else "see --help"
    return f"{argument}: settings are written KEY=VALUE, and a value with spaces in quotation marks; {suggestion}"


def _get_typed(key: str, arguments: Sequence[str]) -> str:
    """Return the value that was typed for a key; empty if there is none."""
    typed = (each.lstrip("+").partition("=") for each in arguments)
    return next((value for name, _, value in typed if name == key), "")


def _list_keys(schema: type[Any], arguments: Sequence[str]) -> list[str]:
    """Return the keys of a command with the choices of its arguments; with the default choices if these are wrong."""
    groups = {*list_choices(), "model"}
    chosen = [each for each in arguments if each.lstrip("+").partition("=")[0] in groups and "-m" not in each]
    try:
        return list_keys(schema, [re.sub("=([^\\[,]*),.*", r"=\1", each) for each in chosen])
    except (HydraException, OmegaConfBaseException, UserError):
        return list_keys(schema)


def _guess_key(path: str, schema: type[Any]) -> str:
    """Return the key that a directory was meant for, from its content; empty if the path is not a directory."""
    if schema is ReportConfig:
        return "sweep_dir" if Path(path, "leaderboard.csv").is_file() else "run_dir"
    if schema is PredictConfig and not (Path(path).is_dir() and not Path(path, "result.json").is_file()):
        return "run_dir"
    return "data.root" if Path(path).is_dir() else ""
