"""Predict hematoma expansion after intracerebral hemorrhage, and report how far the prediction can be trusted.

The names in `__all__` are the public interface. Each is imported when it is first used, so ``import hemexp`` is fast.

Example:
    >>> import hemexp
    >>> cfg = hemexp.load_config(hemexp.TrainConfig, ["model.kernel_size=5"])
    >>> result = hemexp.train(cfg, "outputs/first")
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hemexp.commands.predict import predict as predict
    from hemexp.commands.prepare import prepare as prepare
    from hemexp.commands.train import train as train
    from hemexp.config import PredictConfig as PredictConfig
    from hemexp.config import PrepareConfig as PrepareConfig
    from hemexp.config import TrainConfig as TrainConfig
    from hemexp.config.compose import load_config as load_config
    from hemexp.data.datamodule import ExpansionDataModule as ExpansionDataModule
    from hemexp.data.training_set import build_training_set as build_training_set
    from hemexp.training.fit import fit as fit
    from hemexp.training.member import FitResult as FitResult
    from hemexp.training.member import Member as Member

__version__ = "0.2.0"

_MODULES = {
    "ExpansionDataModule": "hemexp.data.datamodule",
    "FitResult": "hemexp.training.member",
    "Member": "hemexp.training.member",
    "PredictConfig": "hemexp.config",
    "PrepareConfig": "hemexp.config",
    "TrainConfig": "hemexp.config",
    "build_training_set": "hemexp.data.training_set",
    "fit": "hemexp.training.fit",
    "load_config": "hemexp.config.compose",
    "predict": "hemexp.commands.predict",
    "prepare": "hemexp.commands.prepare",
    "train": "hemexp.commands.train",
}
__all__ = [*_MODULES]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module 'hemexp' has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(_MODULES[name]), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_MODULES})
