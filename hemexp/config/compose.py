"""Compose a configuration with Hydra and turn it into checked objects."""

import copyreg
import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import fields
from functools import cache
from pathlib import Path
from typing import Any, Optional, TypeVar

from hydra import compose, initialize_config_dir
from hydra.core.config_store import ConfigStore
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import MissingMandatoryValue

from hemexp import config as c
from hemexp.config.keys import check_keys
from hemexp.config.patient_names import encode_name
from hemexp.config.plugins import import_installed_plugins, import_plugins, import_typed_plugins, search_caller_folder
from hemexp.config.registry import store_models
from hemexp.config.section import get_key, list_sections
from hemexp.errors import UserError
from hemexp.hardware import check_device

PACKAGE = Path(__file__).resolve().parent.parent
CONFIG_DIR = next(path for path in (PACKAGE / "conf", PACKAGE.parent / "conf") if path.is_dir())  # installed; source
SCHEMAS: dict[str, type[Any]] = {
    "train": c.TrainConfig,
    "prepare": c.PrepareConfig,
    "predict": c.PredictConfig,
    "update": c.UpdateConfig,
    "report": c.ReportConfig,
    "audit": c.AuditConfig,
}

PATH_KEYS = (
    "data.root", "data.mapping", "template", "run_dir", "sweep_dir", "output_dir", "hydra.sweep.dir", "hydra.run.dir",
    "privacy.pseudonymize", "predictions", "model.init_from",
)  # fmt: skip
T = TypeVar("T")


@cache
def register_schemas() -> None:
    """Register the resolvers, the models, and the schemas of the YAML files: ``schema/cnn`` is `CNNConfig`."""
    store = ConfigStore.instance()
    # Hydra 1.3 copies the whole store each time it looks up a group, a hundred times for --help. No copy is changed.
    copyreg.pickle(ConfigStore, lambda store: "instance")  # for a text, deepcopy returns the object itself
    OmegaConf.register_new_resolver("cohort_name", _cohort_name, replace=True)
    OmegaConf.register_new_resolver("model_name", lambda *, _root_: c.get_choice_name(_root_.model), replace=True)
    OmegaConf.register_new_resolver("keys_help", _keys_help, replace=True)
    for section in list_sections():
        store.store(group="schema", name=section.__name__.removesuffix("Config").lower(), node=section)
    store_models()


def import_models(name: str, arguments: list[str]) -> None:
    """Import the plugins of a command, and let Hydra know the models of this package and of the plugins.

    Args:
        name: of the command; the commands without a model import none.
        arguments: overrides, such as ``plugins=[my_module]``.

    Raises:
        UserError: a plugin cannot be imported.
    """
    search_caller_folder()
    if "plugins" in {item.name for item in fields(SCHEMAS[name])}:
        import_installed_plugins()
        import_typed_plugins(arguments)
        store_models()


def _cohort_name(root: str | None) -> str:
    """Return the name of the cohort in the name of a run directory."""
    return re.sub(r"[^\w.-]+", "-", Path(root).resolve().name) if root else "synthetic"


def _keys_help(*, _root_: DictConfig) -> str:
    """Return the choices and keys of a command for Hydra's help template, in which ``$`` is written twice."""
    from hemexp.config.help import build_help

    return build_help(_root_, SCHEMAS[_root_.hydra.job.name], CONFIG_DIR).replace("$", "$$")


def typed(config: DictConfig, schema: type[T]) -> T:
    """Return a composed configuration as a checked object of its schema.

    Raises:
        UserError: a key is unknown or a rule is broken; the message names key, value and rule.
    """
    content = config.copy()
    OmegaConf.set_struct(content, False)
    content.pop("hydra", None)
    check_keys(content)
    try:
        built = OmegaConf.to_object(content)
    except MissingMandatoryValue as error:
        key = error.full_key or str(error).rpartition(": ")[2]
        raise UserError(f"{key} is not set: give {key}=VALUE") from None
    except OSError as error:  # such as a name that is too long for any folder
        raise UserError(f"{str(error.filename)[:200]}: cannot be used: {error.strerror}") from None
    import_plugins(getattr(built, "plugins", ()))  # those of a file, such as an experiment
    if not isinstance(built, schema):
        raise UserError("hydra.job.name: cannot be set: it is the name of the command")
    return built


def checked(config: DictConfig, name: str) -> Any:
    """Return a composed configuration as a checked object of the command's schema; check the device too.

    Raises:
        UserError: a rule is broken, or this machine does not have the device.
    """
    if name not in SCHEMAS:
        raise UserError(f"hydra.job.name={name}: cannot be set: it is the name of the command")
    cfg = typed(config, SCHEMAS[name])
    if isinstance(cfg, c.TrainConfig) and not isinstance(cfg.where, c.SlurmConfig | c.RayConfig):
        check_device(cfg.trainer.accelerator)  # Slurm and Ray train on other machines
    return cfg


def load_config(schema: type[T], overrides: list[str] | None = None) -> T:
    """Compose the configuration of a command in Python, as its command line does.

    Args:
        schema: that of the command, such as `TrainConfig` or `PredictConfig`.
        overrides: such as ``["model.kernel_size=5"]``.
    """
    return typed(_compose(schema, overrides or []), schema)


def quote_paths(arguments: list[str]) -> list[str]:
    """Write arguments so that Hydra reads what was typed.

    Texts such as folder names and headers are quoted where Hydra would refuse them (Chinese characters, parentheses)
    or read a number (``2024_01_02``); ``~`` is expanded. In a sweep, a comma separates two folders, except in the
    directory of the sweep. A key with free parts, such as ``where.options``, may get new ones.
    """
    sweep = bool({"-m", "--multirun"} & set(arguments))
    texts, free = list_keys_of_type(str, Optional[str]), list_keys_of_type(dict[str, Any])
    quoted = []
    for argument in arguments:
        given, _, value = argument.partition("=")
        name = given.lstrip("+")
        sign = given[: len(given) - len(name)]
        if name in PATH_KEYS or name in texts:
            lists = (*PATH_KEYS, "model.", "optimizer.", "scheduler.", "loss.", "split.")
            separate = sweep and name.startswith(lists) and not name.startswith("hydra.")
            names = value.split(",") if separate else [value]
            argument = f"{sign}{name}={','.join(_quote(each, name) for each in names)}"
        elif name.startswith("patient."):
            argument = f"++patient.{encode_name(name.removeprefix('patient.'))}={_quote(value, name)}"
        elif name == "plugins" and not value.startswith("["):
            argument = f"{sign}{name}=[{value}]"
        elif name == "features.columns" and re.fullmatch(r"\[[^\[\]'\"]+\]", value):
            argument = f"{sign}{name}=[{','.join(_quote(each.strip(), name) for each in value[1:-1].split(','))}]"
        elif not sign and (
            (name in free and (value.startswith("{") or name not in list_choices()))
            or any(name.startswith(f"{each}.") for each in free)
        ):
            argument = f"++{argument}"
        quoted.append(argument)
    return quoted


@cache
def list_keys_of_type(*types: Any) -> set[str]:
    """Return the keys of all schemas that have one of these types and any value of it."""
    return {
        f"{section.PREFIX}.{item.name}".lstrip(".")
        for section in list_sections()
        for item in fields(section)
        if item.type in types and not get_key(item).choices and item.name not in {"name", "kind"}
    }


def _quote(text: str, key: str) -> str:
    """Return a text as Hydra must get it to read it as it is."""
    if key in PATH_KEYS and text.startswith("~"):
        with suppress(RuntimeError):  # an unknown ~user stays as it is
            text = str(Path(text).expanduser())
    if text.startswith(("'", '"')):
        return text
    with suppress(HydraException):
        value = OverridesParser.create().parse_override(f"x={text}").value()
        if value is None or value == text or (isinstance(value, bool) and key not in PATH_KEYS):
            return text
    escaped = re.sub(r'(\\*)"', r'\1\1\\"', text)  # Hydra reads backslashes before a quote as escapes
    return '"' + re.sub(r"(\\+)$", r"\1\1", escaped) + '"'


@cache
def list_choices() -> dict[str, list[str]]:
    """Return the choices of every group in ``conf/``."""
    folders = [path for path in CONFIG_DIR.iterdir() if path.is_dir()]
    return {folder.name: sorted(path.stem for path in folder.glob("*.yaml")) for folder in folders}


@cache
def label_definitions() -> dict[str, c.GrowthLabelConfig]:
    """Return every definition of expansion in ``conf/label``, by name; an outcome that a file holds is not one."""
    files = sorted((CONFIG_DIR / "label").glob("*.yaml"))
    contents: dict[str, Any] = {path.stem: OmegaConf.to_container(OmegaConf.load(path)) for path in files}
    del contents["column"]
    return {
        name: c.GrowthLabelConfig(**{key: value for key, value in content.items() if key != "defaults"})
        for name, content in contents.items()
    }


def load_protocols() -> dict[str, c.ProtocolConfig]:
    """Return every protocol of the audit in ``conf/protocol``, by name."""
    files = sorted((CONFIG_DIR / "protocol").glob("*.yaml"))
    contents: dict[str, Any] = {path.stem: OmegaConf.to_container(OmegaConf.load(path)) for path in files}
    return {
        name: c.ProtocolConfig(**{key: value for key, value in content.items() if key != "defaults"})
        for name, content in contents.items()
    }


def list_keys(schema: type[Any], overrides: Sequence[str] = ()) -> list[str]:
    """Return the dotted keys of a command with these choices; its groups are included."""

    def walk(node: Any, key: str) -> list[str]:
        below = node.items() if isinstance(node, dict) else ()
        return [key, *(name for part, child in below for name in walk(child, f"{key}.{part}".lstrip(".")))]

    return walk(OmegaConf.to_container(_compose(schema, list(overrides))), "")[1:]


def _compose(schema: type[Any], overrides: list[str]) -> DictConfig:
    register_schemas()
    name = next((name for name, known in SCHEMAS.items() if known is schema), None)
    if name is None:
        raise UserError(f"{schema!r}: is not a schema; rule: one of {', '.join(c.__name__ for c in SCHEMAS.values())}")
    import_models(name, overrides)
    with initialize_config_dir(config_dir=str(CONFIG_DIR), version_base="1.3"):
        return compose(config_name=name, overrides=quote_paths(overrides))
