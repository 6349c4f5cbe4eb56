"""The model of a run and its training, in plain words."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import Field, fields
from typing import Any

from hemexp.config import MODELS, NetworkConfig, get_choice_name, get_model_title
from hemexp.config.section import get_key
from hemexp.files.result import RunResult
from hemexp.formatting import count

Row = tuple[str, str]
_LEFT_OUT = {"name", "target", "args", "init_from"}
_STOPS = {
    "stop_loss": "stops below a training loss of",
    "patience": "epochs without a lower loss, after which it stops:",
    "gradient_clip_val": "largest norm of the gradient:",
}


def describe_model(result: RunResult) -> list[Row]:
    """Return rows on the model, its settings and its training; they hold no path."""
    config = result.config
    model = config.get("model") or {}
    if not model.get("name"):
        return []
    entry = MODELS.get(model["name"])
    name = get_choice_name(model)
    about = model["target"] if model.get("target") else entry.help.partition(": pip install")[0] if entry else ""
    rows = [("Model", f"{get_model_title(name)}{f': {about}' if about not in {'', name} else ''}")]
    if settings := "; ".join(_describe_settings(model)):
        rows.append(("Settings of the model", settings))
    is_network = bool(entry and issubclass(entry.schema, NetworkConfig)) and result.stopped_by != "fitted"
    if model.get("init_from"):
        rows.append(("First weights", "those of another run (model.init_from)"))
    if is_network:
        rows.append(("Training", "; ".join(_describe_training(result))))
        if (networks := int(config.get("ensemble") or 1)) > 1:
            rows.append(("Ensemble", f"{count(networks)} networks with different seeds; their mean risk is the result"))
    if config.get("calibrate") == "logistic":
        rows.append(("Recalibration", "logistic, by cross-validation within the training part"))
    return rows


def _describe_settings(model: Mapping[str, Any]) -> Iterator[str]:
    """Yield each setting of a model; a model of this package says in words what its keys mean."""
    entry = MODELS.get(model["name"])
    keys: dict[str, Field[Any]] = {item.name: item for item in fields(entry.schema)} if entry and entry.target else {}
    for name, value in {**model, **(model.get("args") or {})}.items():
        if name in _LEFT_OUT:
            continue
        words, shown = name.replace("_", " "), _show(value)
        if name in keys:
            help = get_key(keys[name]).help
            words = re.split("[;:]", help)[0]
            shown = help.partition("null: ")[2].partition(";")[0] or shown if value is None else shown
        yield f"{words}: {shown}"


def _describe_training(result: RunResult) -> Iterator[str]:
    """Yield the settings of the training of a network, and how long it took."""
    optimizer, scheduler, loss, trainer = (
        result.config.get(name) or {} for name in ("optimizer", "scheduler", "loss", "trainer")
    )
    if optimizer:
        yield f"optimizer {get_choice_name(optimizer)}, learning rate {optimizer.get('lr')}"
    if optimizer.get("weight_decay"):
        yield f"weight decay {optimizer['weight_decay']}"
    if scheduler.get("name") not in {None, "none"}:
        yield f"schedule of the learning rate {get_choice_name(scheduler).replace('_', ' ')}"
    if loss:
        yield f"loss {get_choice_name(loss).replace('_', ' ')}"
    if trainer:
        size = trainer.get("batch_size")
        yield f"{size} patients in a step" if size else "all patients in each step"
        yield f"at most {count(trainer.get('max_epochs'))} epochs"
    for name, text in _STOPS.items():
        if trainer.get(name) is not None:
            yield f"{text} {trainer[name]}"
    if result.epochs is not None:
        yield f"trained for {count(result.epochs)} epochs"


def _show(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else "none" if value is None else str(value)
