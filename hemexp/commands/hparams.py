"""Settings and scores for TensorBoard's HPARAMS tab.

The tab sorts settings by ``differs``, then by name, and ticks the first five; it ticks the first five metrics in the
order of the ``Experiment`` message. It reads this message from one run of the log directory, so that every job of a
sweep writes the same one.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import MISSING, asdict, fields
from functools import cache
from typing import Any

from omegaconf import OmegaConf
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.plugins.hparams import api_pb2, metadata, plugin_data_pb2

from hemexp.config import TrainConfig, get_choice_name
from hemexp.config.compose import CONFIG_DIR, PATH_KEYS
from hemexp.files.result import NO_LEAKAGE, RunResult, Score

_SECTIONS = ("optimizer", "scheduler", "loss", "trainer", "model", "split")
_TRAINER_KEYS = ("max_epochs", "stop_loss", "patience", "batch_size", "gradient_clip_val")
_PRIVATE = ("output_dir", "where", "logger", "privacy")  # they hold paths, or names of machines and accounts


def get_hparams(cfg: TrainConfig) -> dict[str, Any]:
    """Return the settings by which runs are compared."""
    hparams = {key: value for key, value, _ in _list_settings(cfg)}
    names = {
        "data.kind": cfg.data.kind,
        "label": cfg.label.describe(),
        "features": cfg.features.name if cfg.model.inputs is None else cfg.model.name,
        "split": cfg.split.describe(),
    }
    return {**hparams, "seed": cfg.seed, **names}


def select_hparams(cfg: TrainConfig, result: RunResult, swept: Mapping[str, str]) -> dict[str, Any]:
    """Return the settings to show: the swept keys, or for a single run the differences from the defaults.

    The model's name and a network's learning rate are always shown for a single run. A verdict of leakage or of an
    incomplete run comes first.
    """
    shown: dict[str, Any] = {} if result.verdict == NO_LEAKAGE else {"_verdict": result.verdict}
    if swept:
        public = {key: value for key, value in swept.items() if key not in PATH_KEYS}
        return shown | {key: _parse_value(value) for key, value in public.items()}
    shown |= {key: value for key, value, is_default in _list_settings(cfg) if not is_default}
    if cfg.model.is_network:
        shown["optimizer.lr"] = cfg.optimizer.lr
    hparams, choices = get_hparams(cfg), _default_choices()
    changed = [name for name in ("label", "features", "split") if getattr(cfg, name).name != choices[name]]
    changed += ["data.kind"] if cfg.data.root is not None else []
    changed += ["seed"] if cfg.seed else []
    return shown | {key: hparams[key] for key in changed}


def list_public_settings(cfg: TrainConfig) -> dict[str, Any]:
    """Return the settings without paths and without names of machines, accounts and users."""
    settings = {name: value for name, value in asdict(cfg).items() if name not in _PRIVATE}
    for group in ("data", "model"):
        public = {name: value for name, value in settings[group].items() if f"{group}.{name}" not in PATH_KEYS}
        settings[group] = public
    return settings


def _list_settings(cfg: TrainConfig) -> Iterator[tuple[str, Any, bool]]:
    """Return key, value and whether it is the default, for the keys of training, of the model and of the split."""
    defaults = {item.name: item.default for item in fields(TrainConfig)}
    for name in ("engine", "ensemble", "calibrate"):
        yield name, getattr(cfg, name), getattr(cfg, name) == defaults[name]
    for name in _SECTIONS:
        for item in fields(getattr(cfg, name)):
            key = f"{name}.{item.name}"
            if (name == "trainer" and item.name not in _TRAINER_KEYS) or key in {"split.name", *PATH_KEYS}:
                continue
            value = getattr(getattr(cfg, name), item.name)
            default = item.default if item.default_factory is MISSING else item.default_factory()
            shown = "null" if value is None else str(value) if isinstance(value, list | dict) else value
            shown = get_choice_name(vars(getattr(cfg, name))) if item.name == "name" else shown
            yield key, shown, value == default


@cache
def _default_choices() -> dict[str, str]:
    """Return the default choice of each group of the configuration."""
    config: Any = OmegaConf.to_container(OmegaConf.load(CONFIG_DIR / "train.yaml"), resolve=False)
    entries = config["defaults"]
    return {key: value for entry in entries if isinstance(entry, dict) for key, value in entry.items()}


def _parse_value(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text


def rank_metrics(metrics: Mapping[str, Score]) -> dict[str, float]:
    """Return the defined scores in the order of the HPARAMS tab: those of cross-validation first."""
    keys = sorted(metrics, key=lambda key: not key.startswith("cv/"))
    return {key: value for key in keys if (value := metrics[key].value) is not None}


def build_hparams_summaries(hparams: Mapping[str, Any], metrics: Sequence[str]) -> list[Summary]:
    """Return the messages that enter a run into the HPARAMS tab.

    Args:
        hparams: the settings of this run.
        metrics: names of the scores, in the order of the columns.
    """
    infos = []
    start = plugin_data_pb2.SessionStartInfo()
    for name, value in hparams.items():
        if isinstance(value, bool):
            kind, start.hparams[name].bool_value = api_pb2.DATA_TYPE_BOOL, value
        elif isinstance(value, int | float):
            kind, start.hparams[name].number_value = api_pb2.DATA_TYPE_FLOAT64, value
        else:
            kind, start.hparams[name].string_value = api_pb2.DATA_TYPE_STRING, str(value)
        infos.append(api_pb2.HParamInfo(name=name, type=kind, differs=True))
    experiment = api_pb2.Experiment(
        hparam_infos=infos, metric_infos=[api_pb2.MetricInfo(name=api_pb2.MetricName(tag=name)) for name in metrics]
    )
    end = plugin_data_pb2.SessionEndInfo(status=api_pb2.STATUS_SUCCESS)
    contents = {
        metadata.EXPERIMENT_TAG: plugin_data_pb2.HParamsPluginData(experiment=experiment),
        metadata.SESSION_START_INFO_TAG: plugin_data_pb2.HParamsPluginData(session_start_info=start),
        metadata.SESSION_END_INFO_TAG: plugin_data_pb2.HParamsPluginData(session_end_info=end),
    }
    return [
        Summary(value=[Summary.Value(tag=tag, metadata=metadata.create_summary_metadata(content))])
        for tag, content in contents.items()
    ]
