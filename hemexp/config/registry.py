"""The models that ``model=NAME`` chooses: one entry holds all that is known about a name."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from hydra.core.config_store import ConfigStore
from omegaconf import OmegaConf

from hemexp.errors import UserError

_T = TypeVar("_T", bound=type)


@dataclass(frozen=True)
class ModelEntry:
    """A model that ``model=NAME`` chooses.

    Attributes:
        schema: the section with its settings.
        help: one line for ``--help``.
        target: ``module:class`` in `hemexp.models` that builds it; empty if the settings have a method `build`.
        plugin: the module of another package that registered it; empty for a model of this package.
        title: the name on pages and figures; empty for a model of another package, which keeps its name.
    """

    schema: type[Any]
    help: str
    target: str = ""
    plugin: str = ""
    title: str = ""


MODELS: dict[str, ModelEntry] = {}


def register(name: str, title: str, help: str, target: str = "") -> Callable[[_T], _T]:
    """Return a decorator of the settings of a model of this package; the arguments are those of `ModelEntry`."""

    def decorate(schema: _T) -> _T:
        add_entry(name, ModelEntry(schema, help, target, title=title))
        return schema

    return decorate


def add_entry(name: str, entry: ModelEntry) -> None:
    """Add a model. A plugin that is imported again replaces its own.

    Raises:
        UserError: there is another model of this name.
    """
    other = MODELS.get(name)
    if other is not None and (not other.plugin or other.plugin != entry.plugin):
        owner = other.plugin or "hemexp"
        raise UserError(f"{entry.plugin}: the model name {name} is used by {owner}; choose another name")
    MODELS[name] = entry
    entry.schema.NAMES = (*entry.schema.__dict__.get("NAMES", ()), name)


def get_entry(name: str) -> ModelEntry:
    """Return the entry of a model.

    Raises:
        UserError: there is no model of this name.
    """
    if name not in MODELS:
        raise UserError(f"model.name={name}: must be one of {', '.join(MODELS)}")
    return MODELS[name]


def get_choice_name(settings: Mapping[str, Any]) -> str:
    """Return the name by which a user knows a model, an optimizer, a schedule or a loss, for tables and messages.

    Args:
        settings: the section ``model``, ``optimizer``, ``scheduler`` or ``loss``, of a configuration or of a file.

    Returns:
        What ``model=NAME`` gave. With ``model=custom``, the last part of ``model.target``: ``MyNet``; the whole target
        where a model of this package has that name.
    """
    name, target = str(settings.get("name") or "unnamed"), settings.get("target")
    if name != "custom" or not target:
        return name
    last = str(target).rpartition(".")[2]
    return str(target) if last in MODELS and not MODELS[last].plugin else last


def describe_setting(prefix: str, settings: Mapping[str, Any]) -> str:
    """Return the setting that names a model, an optimizer, a schedule or a loss, for a message.

    Args:
        prefix: of the section, such as ``model``.
        settings: the section, of a configuration or of a file.
    """
    target = settings.get("target") if settings.get("name") == "custom" else None
    return f"{prefix}.target={target}" if target else f"{prefix}={settings.get('name')}"


def get_model_title(name: str) -> str:
    """Return the name of a model for pages and figures: ``hematoma volume alone`` for ``volume``.

    Args:
        name: as `get_choice_name` returns it; settings may follow it in parentheses. Another text stays as it is.
    """
    known, space, settings = name.partition(" (")
    return f"{(known in MODELS and MODELS[known].title) or known}{space}{settings}"


def store_models() -> None:
    """Let Hydra know every model as a choice of the group ``model``."""
    for name, entry in MODELS.items():
        node = OmegaConf.structured(entry.schema)
        node.name = name
        ConfigStore.instance().store(group="model", name=name, node=node)
