"""Check arguments and callbacks for an ordinary Lightning Trainer; Lightning is imported only where some are given."""

import inspect
import logging
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from typing import Any

from hydra.utils import instantiate

from hemexp.config.plugins import locate
from hemexp.errors import UserError

_ONE_DEVICE = "a run trains one small network on one device; a sweep uses all devices (where=gpus)"
_BY_HEMEXP = {  # arguments that cannot be set: why, or what to give instead
    "accelerator": "give trainer.accelerator",
    "devices": f"{_ONE_DEVICE}; give trainer.devices",
    "strategy": _ONE_DEVICE,
    "num_nodes": _ONE_DEVICE,
    "use_distributed_sampler": _ONE_DEVICE,
    "sync_batchnorm": _ONE_DEVICE,
    "max_epochs": "give trainer.max_epochs",
    "gradient_clip_val": "give trainer.gradient_clip_val",
    "logger": "give logger=NAME",
    "callbacks": "give callbacks.NAME._target_=CLASS",
    "profiler": "give trainer.profiler",
    "plugins": "hemexp sets them",
    "default_root_dir": "give output_dir",
    "enable_checkpointing": "hemexp saves last.ckpt and best.ckpt; add a ModelCheckpoint to callbacks for more",
    "enable_progress_bar": "give trainer.progress_bar",
    "enable_model_summary": "add a ModelSummary to callbacks",
    "barebones": "a run needs its log and its checkpoints",
    "model_registry": "hemexp does not use it",
}
_AVERAGES = (
    "averages weights; hemexp saves the weights of single epochs, whose loss it reports; use ensemble=N for a mean"
)
_REFUSED = {  # callbacks of Lightning that cannot work here, and classes made from them: why, and what to do instead
    "WeightAveraging": _AVERAGES,
    "StochasticWeightAveraging": _AVERAGES,
    "BatchSizeFinder": "changes the batch size, which is a setting of the run; give trainer.batch_size",
    "LearningRateFinder": "changes the learning rate, which is a setting of the run; sweep optimizer.lr",
    "ModelPruning": "changes the names of the weights, so that the checkpoint cannot predict; prune in the network",
    "BackboneFinetuning": "needs a network with the attribute backbone at pl_module; make your own class from "
    "BaseFinetuning, which finds the network at pl_module.network.net",
    "OnExceptionCheckpoint": "begins from a file of another fit; hemexp saves last.ckpt, and the same command resumes",
    "BasePredictionWriter": "is not called, because hemexp predicts without the Trainer; use predict.py",
    "SpikeDetection": "cannot be resumed, because Lightning does not restore its state; a loss of NaN ends every run",
    "ProgressBar": "draws a second progress bar; hemexp has its own (trainer.progress_bar)",
}


def check_arguments(arguments: Mapping[str, Any]) -> None:
    """Refuse arguments that the Trainer does not have, or that hemexp sets.

    Raises:
        UserError: names the argument and the rule.
    """
    trainer = locate("lightning.pytorch.Trainer", "trainer.lightning")
    known = [name for name in inspect.signature(trainer).parameters if name not in _BY_HEMEXP]
    for name, value in arguments.items():
        if name in _BY_HEMEXP:
            raise UserError(f"trainer.lightning.{name}={value}: cannot be set; {_BY_HEMEXP[name]}")
        if name not in known:
            near = get_close_matches(name, known, n=1)
            advice = f"did you mean {near[0]}?" if near else f"it has {', '.join(known)}"
            raise UserError(f"trainer.lightning.{name}={value}: Lightning's Trainer has no such argument; {advice}")
    precision = str(arguments.get("precision", ""))
    if precision.endswith("-true") and not precision.startswith(("32", "64")):
        raise UserError(
            f"trainer.lightning.precision={precision}: weights need 32 or 64 bits; give bf16-mixed or 16-mixed"
        )
    _try_trainer(f"trainer.lightning={dict(arguments)}", **arguments)


def _try_trainer(what: str, **arguments: Any) -> None:
    """Build a Trainer as a training does, for its own checks."""
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    off = dict.fromkeys(("logger", "enable_progress_bar", "enable_model_summary"), False)
    try:
        locate("lightning.pytorch.Trainer", "trainer.lightning")(accelerator="cpu", devices=1, **off, **arguments)
    except Exception as error:  # of Lightning: several types
        rule = "; rule: the arguments and types of lightning.pytorch.Trainer" * isinstance(error, TypeError)
        raise UserError(f"{what}: {error}{rule}") from None


def check_callbacks(callbacks: Mapping[str, Any]) -> None:
    """Refuse entries that are not callbacks of Lightning, or cannot work here.

    Raises:
        UserError: names the entry and the rule.
    """
    for name, entry in callbacks.items():
        if not isinstance(entry, Mapping) or "_target_" not in entry:
            rule = f"callbacks.{name}._target_=CLASS, such as lightning.pytorch.callbacks.EarlyStopping"
            raise UserError(f"callbacks.{name}={entry}: has no _target_; rule: {rule}")
        locate(str(entry["_target_"]), f"callbacks.{name}._target_")
    _try_trainer("callbacks", callbacks=list(build_callbacks(callbacks).values()))


def list_targets(entry: Any) -> Iterator[str]:
    """Yield each ``_target_`` in the entries of callbacks, also in their arguments."""
    for name, value in entry.items() if isinstance(entry, Mapping) else ():
        yield from [str(value)] if name == "_target_" else list_targets(value)
    for value in entry if isinstance(entry, list) else ():
        yield from list_targets(value)


def build_callbacks(callbacks: Mapping[str, Any]) -> dict[str, Any]:
    """Return new callbacks, by their names in the configuration.

    Raises:
        UserError: one cannot be built, or cannot work here.
    """
    base, built = locate("lightning.pytorch.Callback", "callbacks"), {}
    for name, entry in callbacks.items():
        where = f"callbacks.{name}={dict(entry)}"
        try:
            callback = instantiate(dict(entry))
        except Exception as error:  # of any class
            reason = " ".join(str(error.__cause__ or error).split())[:300]
            raise UserError(f"{where}: cannot be built: {reason}") from None
        if not isinstance(callback, base):
            raise UserError(f"{where}: is not a lightning.pytorch.Callback")
        kinds = [kind for kind in type(callback).__mro__ if kind.__module__.startswith("lightning.")]
        for kind in kinds:
            if kind.__name__ in _REFUSED:
                raise UserError(f"{where}: {kind.__name__} cannot be used: it {_REFUSED[kind.__name__]}")
        built[name] = callback
    return built
