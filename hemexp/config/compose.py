"""Hydra's part: the schemas in its store, and composed configs as checked objects."""

import re
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar

from hydra import compose, initialize_config_dir
from hydra.core.config_store import ConfigStore
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from hemexp import config as c
from hemexp.hardware import check_device

PACKAGE = Path(__file__).resolve().parent.parent
CONFIG_DIR = next(path for path in (PACKAGE / "conf", PACKAGE.parent / "conf") if path.is_dir())  # installed; source
SCHEMAS: dict[str, type[Any]] = {
    "train": c.TrainConfig,
    "prepare": c.PrepareConfig,
    "predict": c.PredictConfig,
    "report": c.ReportConfig,
}
_GROUPS: dict[str, dict[str, type[Any]]] = {
    "schema": {**SCHEMAS, "evaluation": c.EvaluationConfig, "search": c.SearchConfig, "logger": c.LoggerConfig},
    "schema/where": {"local": c.LocalConfig, "gpus": c.GPUsConfig, "slurm": c.SlurmConfig, "ray": c.RayConfig},
    "schema/data": {"synthetic": c.SyntheticDataConfig, "files": c.DataConfig},
    "schema/split": {"fraction": c.FractionSplitConfig, "kfold": c.KFoldSplitConfig},
    "schema/model": {
        "sacnn": c.SACNNConfig,
        "cnn": c.CNNConfig,
        "attention": c.AttentionConfig,
        "mlp": c.MLPConfig,
        "baseline": c.BaselineConfig,
        "ridge2": c.Ridge2Config,
        "logistic": c.LogisticConfig,
        "firth": c.FirthConfig,
        "random_forest": c.ForestConfig,
        "boosting": c.BoostingConfig,
        "tabular": c.TabularConfig,
    },
}

T = TypeVar("T")


def register_schemas() -> None:
    """Store the schemas that the YAML files in ``conf/`` name in their defaults lists, and their one resolver."""
    store = ConfigStore.instance()
    # Hydra 1.3 copies the whole store at every look-up of a group, a hundred times for --help; nobody changes a copy.
    setattr(ConfigStore, "__deepcopy__", lambda store, memo: store)  # noqa: B010
    OmegaConf.register_new_resolver("cohort_name", _cohort_name, replace=True)
    for group, nodes in _GROUPS.items():
        for name, node in nodes.items():
            store.store(group=group, name=name, node=node)


def _cohort_name(root: str | None) -> str:
    """Return what a run's directory calls its cohort."""
    return re.sub(r"[^\w.-]+", "-", Path(root).resolve().name) if root else "synthetic"


def typed(config: DictConfig, schema: type[T]) -> T:
    """Return a composed config as the object of its schema, every rule checked.

    Raises:
        UserError: a rule is broken; the message names key, value and rule.
    """
    own = config.copy()
    OmegaConf.set_struct(own, False)
    own.pop("hydra", None)
    built = OmegaConf.to_object(own)
    if not isinstance(built, schema):
        raise TypeError(f"composed config is {type(built).__name__}, not {schema.__name__}")
    return built


def checked(config: DictConfig, name: str) -> Any:
    """Return a composed config as an object of the command's schema, every rule and the device checked.

    Raises:
        UserError: a rule is broken, or the device is not there.
    """
    cfg = typed(config, SCHEMAS[name])
    if isinstance(cfg, c.TrainConfig):
        sweep = OmegaConf.select(config, "hydra.mode") == RunMode.MULTIRUN
        if not (sweep and isinstance(cfg.where, c.SlurmConfig | c.RayConfig)):  # whose jobs run on other machines
            check_device(cfg.trainer.accelerator)
    return cfg


def load_config(schema: type[T], overrides: list[str] | None = None) -> T:
    """Compose a command's config in Python, as its command line would.

    Args:
        schema: `TrainConfig`, `PrepareConfig` or `PredictConfig`.
        overrides: such as ``["model.kernel_size=5"]``.
    """
    return typed(_compose(schema, overrides or []), schema)


def label_definitions() -> dict[str, c.LabelConfig]:
    """Return every definition of expansion in ``conf/label``, by name."""
    names = sorted(path.stem for path in (CONFIG_DIR / "label").glob("*.yaml"))
    loaded = {name: OmegaConf.load(CONFIG_DIR / "label" / f"{name}.yaml") for name in names}
    keys = {field.name for field in fields(c.LabelConfig)}
    return {
        name: c.LabelConfig(**{key: value for key, value in each.items() if key in keys})
        for name, each in loaded.items()
    }


def list_keys(schema: type[Any]) -> list[str]:
    """Return the dotted keys of a command's default config, its groups among them."""

    def walk(node: Any, key: str) -> list[str]:
        below = node.items() if isinstance(node, dict) else ()
        return [key, *(found for name, child in below for found in walk(child, f"{key}.{name}".lstrip(".")))]

    return walk(OmegaConf.to_container(_compose(schema, [])), "")[1:]


def _compose(schema: type[Any], overrides: list[str]) -> DictConfig:
    register_schemas()
    name = next(name for name, known in SCHEMAS.items() if known is schema)
    with initialize_config_dir(config_dir=str(CONFIG_DIR), version_base="1.3"):
        return compose(config_name=name, overrides=overrides)
