"""Messages for a choice that does not exist, and for a value that a key cannot have."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import MISSING, Field, fields
from difflib import get_close_matches
from typing import Any, get_args, get_origin

from hemexp.config.compose import list_choices
from hemexp.config.registry import MODELS
from hemexp.config.section import Section, get_key, is_optional, join_or, list_sections

_TARGETS = {  # groups with a choice `custom`: what it needs, and where a name without dots is looked for
    "model": ("", "MODULE"),
    "optimizer": ("engine=lightning ", "torch.optim"),
    "scheduler": ("engine=lightning ", "torch.optim.lr_scheduler"),
    "loss": ("engine=lightning ", "MODULE"),
}
_TORCH = {  # classes of PyTorch beside those that have a choice
    "optimizer": "ASGD Adadelta Adafactor Adagrad Adamax LBFGS Muon NAdam RAdam RMSprop Rprop SparseAdam",
    "scheduler": "ConstantLR CosineAnnealingWarmRestarts CyclicLR ExponentialLR LambdaLR LinearLR MultiStepLR "
    "MultiplicativeLR OneCycleLR PolynomialLR",
}
_SEVERAL = ("logger", "callbacks", "experiment")  # groups that take a list of choices
_EMPTY = {"null": "none", "none": "none", "false": "off", "no": "off"}


def describe_choice(group: str, name: str, choices: Iterable[str], plugins: Sequence[str] = ()) -> str:
    """Return the message for a choice that a group does not have.

    Args:
        group: such as ``model``.
        name: the choice.
        choices: of the group.
        plugins: modules of the user that were imported.
    """
    names, given = sorted(set(choices)), name
    folded = {each.casefold(): each for each in names}
    short = name.removesuffix(".yaml").rpartition(".")[2]
    similar = [each for each in names if each == _EMPTY.get(name.casefold())]
    similar += [each for each in names if group == "logger" and each in short.casefold()]
    similar += [folded[each] for each in get_close_matches(short.casefold(), folded, n=1, cutoff=0.7)]
    is_dotted, is_class = "." in name.removesuffix(".yaml"), bool(re.search("[a-z][A-Z]|[A-Z]{2}", short))
    is_same = bool(similar) and similar[0] == short.casefold()
    is_own = (is_dotted and not (is_same and name.startswith("torch."))) or (is_class and not is_same)
    if in_torch := _find_in_torch(group, short):
        name, is_own = in_torch, True
    may_be_module = group == "model" and not plugins and re.fullmatch(r"[a-zA-Z]\w+", name, re.ASCII)
    if {*"[{"} & {*name} and group not in {"features", *_SEVERAL}:
        one = re.split("[,:]", name.strip("[]{}"))[0]
        advice = f"give one choice, such as {group}={one}; for a sweep: -m {group}={name.strip('[]{}')}"
    elif similar and not (is_own and group in _TARGETS):
        own = f"; a model of your own module: plugins=[my_module] model={name}" * (group == "model" and not plugins)
        advice = f"did you mean {group}={similar[0]}?{own}"
    elif (group in _TARGETS and is_own) or (may_be_module and name not in _EMPTY):
        needs, module = _TARGETS[group]
        path = re.sub(r"[/\\:]", ".", name.removesuffix(".py"))
        target = f"{path}.CLASS" if name.endswith(".py") else path if "." in path else f"{module}.{path}"
        advice = f"your own class: {needs}{group}=custom {group}.target={target}"
        advice = advice.replace("class", "function") if group == "loss" else advice
        advice += "; a model that your module registers: plugins=[my_module] model=NAME" * (group == "model")
    elif group == "model":
        advice = "; ".join(map(_describe_plugin, plugins))
    elif group == "callbacks":
        classes = [each for each in name.strip("[]").split(",") if "_target_" not in each]
        target = classes[0].strip() if classes and "." in classes[0] else "MODULE.CLASS"
        entry = target.rpartition(".")[2].lower() if target != "MODULE.CLASS" else "NAME"
        advice = f"a callback is an entry with a name: engine=lightning callbacks.{entry}._target_={target}"
    elif group == "data":
        advice = f"a folder or a file: data.root={name}"
    elif group == "features":
        advice = f"single columns: features=columns 'features.columns=[{name.strip('[]')}]'"
    elif group == "label":
        advice = f"a column of your table: label=column label.column={name}"
    elif group == "experiment":
        file = name.removesuffix(".yaml").rpartition("/")[2]
        advice = f"a file of yours is FOLDER/experiment/{file}.yaml: --config-dir=FOLDER experiment={file}"
    else:
        advice = ""
    known = f"the choices are {', '.join(names)}" * (names != ["none"])
    return "; ".join(filter(None, [f"{group}={given}: there is no such choice", advice, known]))


def _find_in_torch(group: str, name: str) -> str:
    """Return the class of PyTorch that a name means, whatever its case and with or without LR; empty if none."""
    plain = name.replace("_", "").casefold().removesuffix("lr")
    found = [each for each in _TORCH.get(group, "").split() if each.casefold().removesuffix("lr") == plain]
    return f"{_TARGETS[group][1]}.{found[0]}" if found else ""


def _describe_plugin(plugin: str) -> str:
    """Return in words which models a plugin registered."""
    names = [name for name, entry in MODELS.items() if f"{entry.plugin}.".startswith(f"{plugin}.")]
    if names:
        return f"plugins=[{plugin}] registered {', '.join(names)}"
    return f'plugins=[{plugin}] registered no model: decorate one with @hemexp.register_network("NAME") or ' + (
        '@hemexp.register_estimator("NAME")'
    )


def find_wrong_choice(arguments: Sequence[str], schema: type[Any]) -> str | None:
    """Return the message for the first choice of a group that is not a name, such as a list or null."""
    groups = {item.name for item in fields(schema)} & {*list_choices(), "model"}
    for argument in arguments:
        group, sign, value = argument.lstrip("+").partition("=")
        is_list = value.startswith("[") and "{" not in value and group in _SEVERAL
        is_keys = value.startswith("{") and group not in list_choices()
        if not sign or group not in groups or is_list or is_keys or "$" in value:
            continue
        if re.match(r"\[|\{.*(?<!\})$|(null|true|false|none|[\d.]+)$", value, re.IGNORECASE):
            names = list_known_choices(group)
            if value not in names:
                return describe_choice(group, value, names)
    return None


def list_known_choices(group: str) -> list[str]:
    """Return the choices of a group, without those in folders of the user."""
    return [*list_choices().get(group, ()), *(MODELS if group == "model" else ())]


def describe_value(key: str, value: str, schema: type[Any]) -> str:
    """Return the message for a value that a key cannot have; empty if the rule of the key is not known.

    Args:
        key: of the value.
        value: as it was typed, or as Hydra read it.
        schema: of the command.
    """
    rule = _get_rule(key, schema)
    if not rule:
        return ""
    number = re.fullmatch(r"([+-]?\d+)(\.0*|[eE]\+?\d+)", value)
    if rule.startswith("an integer") and number and len(value) < 9:
        rule += f"; give {key}={int(float(value))}"
    elif rule.startswith("a number") and re.match(r"[+-]?\.?\d", value):
        rule += "; write it as in 0.01 or 1e-3, without a unit"
    return f"{key}={value}: must be {rule}"


def _get_rule(key: str, schema: type[Any]) -> str:
    """Return the legal values of a key in words; empty where its choices differ, or where any value is legal."""
    group, _, name = key.rpartition(".")
    sections = [each for each in list_sections() if group == each.PREFIX] if group else [schema]
    items = [item for section in sections for item in fields(section) if item.name == name]
    rules = {_describe_rule(item, key) for item in items}
    if len(rules) != 1:  # of several choices: what all rules begin with
        rules = {rule.partition(",")[0] for rule in rules}
    return rules.pop() if len(rules) == 1 else ""


def _describe_rule(item: Field[Any], key: str) -> str:
    hint, rules = item.type, get_key(item)
    kind: Any = next((each for each in get_args(hint) if each is not type(None)), hint) if is_optional(item) else hint
    kind = get_origin(kind) or kind
    words = {int: "an integer", float: "a number", bool: "true or false", str: "a text"}
    null = ", or null" if is_optional(item) else ""
    if rules.choices:
        return join_or(rules.choices)
    if kind in words:
        limits = f", {rules.range}" if rules.range else ""
        return f"{words[kind]}{limits}{f' {rules.unit}' if limits and rules.unit else ''}{null}"
    if kind is list:
        default = item.default_factory() if item.default_factory is not MISSING else []
        return f"a list, such as {key}=[{','.join(map(str, default or ['a', 'b']))}]"
    if kind is dict:
        return f"a dictionary: give {key}.NAME=VALUE, or '{key}={{NAME: VALUE}}'"
    if isinstance(kind, type) and issubclass(kind, Section):
        return f"set key by key, as {key}.NAME=VALUE; --help lists its keys"
    return ""


def describe_several(key: str, value: str, schema: type[Any]) -> str:
    """Return the message for values with commas that are neither a list nor a sweep."""
    rule = _get_rule(key, schema)
    is_train = "search" in {item.name for item in fields(schema)}
    sweep = f"for a sweep with a job for each value: -m {key}={value}" if is_train else "give one value"
    if key in _SEVERAL or rule.startswith("a list") or key in {"metrics", "only"}:
        return f"{key}={value}: a list has brackets: give '{key}=[{value}]'" + (f"; {sweep}" if is_train else "")
    if rule.startswith("a number") and re.fullmatch(r"\d+,\d+", value):
        return f"{key}={value}: a number has a decimal point: give {key}={value.replace(',', '.')}; {sweep}"
    return f"{key}={value}: has several values; {sweep}"


def describe_unreadable(argument: str, schema: type[Any]) -> str:
    """Return the message for an argument that Hydra cannot read; empty where only the key is wrong.

    Args:
        argument: with a sign ``=``.
        schema: of the command.
    """
    key, _, value = argument.lstrip("+").partition("=")
    text = value.lstrip("= ")
    if key.strip(" :") != key or value.startswith("="):
        plain = f"{key.strip(' :')}={text}"
        return f"{argument}: settings are written KEY=VALUE, without spaces and with one sign; give {plain}"
    if not re.fullmatch(r"[~\w./@:-]+", key, re.ASCII):
        return ""
    if re.search(r"^,|,$|,,", value):
        joined = ",".join(filter(None, value.split(",")))
        return f"{argument}: a value beside a comma is missing; give {key}={joined}"
    if key in {*list_choices(), "model"} and not {*"[{("} & {*value}:
        return describe_choice(key, value, list_known_choices(key))
    if key in _SEVERAL and value.startswith("[") and not value.endswith("]"):
        return f"{argument}: a bracket is not closed; give '{key}={value}]'"
    is_open = any(value.count(left) != value.count(right) for left, right in ("[]", "{}", "()"))
    problem = "a bracket is not closed; it " if is_open else ""
    if (message := describe_value(key, value, schema)) and "must be a text" not in message:
        return message.replace(": must be ", f": {problem}must be ")
    if is_open:
        return f"{argument}: a bracket is not closed; write a list as '{key}=[a,b]', a dictionary as '{key}={{a: 1}}'"
    return f"{argument}: has characters that need quotation marks: give '{key}=\"{value}\"'"
