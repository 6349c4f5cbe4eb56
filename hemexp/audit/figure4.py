"""Settings of the network that may have given the loss curve in figure 4 of the paper."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from hemexp.audit.paper import load_printed
from hemexp.audit.table import AuditData, Table, build_table
from hemexp.config import OptimizerConfig, ProtocolConfig, SACNNConfig, TrainerConfig
from hemexp.data.imputation import fit_preprocessing
from hemexp.data.split import count_first
from hemexp.data.training_set import TrainingSet
from hemexp.files.writing import write_csv
from hemexp.hardware import max_workers
from hemexp.training.fit import fit
from hemexp.training.member import FitResult, Member
from hemexp.types import Array

log = logging.getLogger(__name__)

NAME, CURVES, FITS = "figure4", "figure4.csv", "figure4_fits.csv"
PRINTED: dict[int, float] = dict(load_printed()["loss"])  # epoch: loss, in section 3.4 of the paper
WITHIN = 1.5  # a curve follows the paper's if its loss at both epochs differs by at most this factor
_NUM_SEEDS, _EVERY = 3, 10  # epochs between the points that are kept
_MOST = 8  # members that are trained as a group
_SMALL = {"channels": [2, 4], "hidden_dim": 8, "embed_dim": 4, "num_heads": 1}
_TINY = {"channels": [1, 2], "hidden_dim": 4, "embed_dim": 2, "num_heads": 1}


@dataclass(frozen=True, eq=False)
class Setting:
    """A way to train the network, other than the printed one in what it names."""

    name: str
    model: dict[str, Any] = field(default_factory=dict)
    lr: float = 0.001
    batch_size: int | None = None
    scaled: bool = True


SETTINGS = (
    Setting("the paper's settings"),
    Setting("inputs not scaled", scaled=False),
    Setting("rate 0.0001", lr=1e-4),
    Setting("rate 0.00003", lr=3e-5),
    Setting("small network", _SMALL),
    Setting("tiny network", _TINY),
    Setting("dropout 0.5", {"dropout": 0.5}),
    Setting("dropout 0.8, rate 0.0001", {"dropout": 0.8}, lr=1e-4),
    Setting("batches of 20", batch_size=20),
    Setting("batches of 20, rate 0.000015", batch_size=20, lr=1.5e-5),
    Setting("convolutions start at 0", {"init": "zeros"}),
    Setting("all weights start at 0", {"init": "all_zeros"}),
)


@dataclass(frozen=True)
class Figure4:
    """The fits of all settings.

    Attributes:
        curves: a row a setting, seed and epoch: ``setting, seed, epoch, loss``.
        fits: a row a setting: ``setting, loss_600, loss_1000, follows, accuracy, accuracy_honest``: the median loss at
            both epochs, or the last one if the training stopped before; the mean accuracy in the last 40 % of the
            patients of the network that has learned from all of them, and, if the setting follows the printed curve,
            of one that has learned from the first 60 % with the same setting.
    """

    curves: pd.DataFrame
    fits: pd.DataFrame


def fit_figure4(data: AuditData, trainer: TrainerConfig, directory: Path) -> Figure4:
    """Train every setting on all patients as the paper says, to 1000 epochs or a loss of 0.001, with three seeds.

    The settings that follow the printed curve are trained on the first 60 % of the patients, too. What `directory`
    holds is not fitted again.
    """
    if earlier := _read(directory):
        return earlier
    table = build_table(data, ProtocolConfig(NAME))
    test = np.arange(count_first(len(table.labels)), len(table.labels))
    everybody = _fit_settings(table, np.arange(len(table.labels)), SETTINGS, trainer, directory)
    curves, rows = [], []
    for setting, results in everybody.items():
        losses = {epoch: float(np.median([_loss_at(result, epoch) for result in results])) for epoch in PRINTED}
        for seed, result in enumerate(results):
            curve = result.history.loc[lambda history: history["epoch"] % _EVERY == 0, ["epoch", "train/loss"]]
            curves.append(curve.set_axis(["epoch", "loss"], axis=1).assign(setting=setting.name, seed=seed))
        rows.append(
            {
                "setting": setting.name,
                **{f"loss_{epoch}": loss for epoch, loss in losses.items()},
                "follows": all(1 / WITHIN <= losses[epoch] / loss <= WITHIN for epoch, loss in PRINTED.items()),
                "accuracy": np.mean([_accuracy(result, table, test) for result in results]),
            }
        )
    follows = [setting for setting, row in zip(SETTINGS, rows, strict=True) if row["follows"]]
    honest = _fit_settings(table, np.arange(test[0]), follows, trainer, directory)
    means = {each.name: np.mean([_accuracy(fitted, table, test) for fitted in honest[each]]) for each in follows}
    fits = pd.DataFrame(rows)
    fits["accuracy_honest"] = fits["setting"].map(means)
    found = Figure4(pd.concat(curves, ignore_index=True)[["setting", "seed", "epoch", "loss"]], fits)
    write_csv(found.curves, directory / CURVES)
    write_csv(found.fits, directory / FITS)
    return found


def _read(directory: Path) -> Figure4 | None:
    """Return the fits that a directory holds; None if it has none, or a file was changed or damaged."""
    names = ["setting", *(f"loss_{epoch}" for epoch in PRINTED), "follows", "accuracy", "accuracy_honest"]
    if not (directory / FITS).is_file() or not (directory / CURVES).is_file():
        return None
    try:
        curves, fits = pd.read_csv(directory / CURVES), pd.read_csv(directory / FITS)
        numbers = [*curves[["seed", "epoch", "loss"]].dtypes, *fits[names[1:]].dtypes]
        is_whole = all(kind.kind in "bfi" for kind in numbers) and list(fits["setting"]) == [s.name for s in SETTINGS]
        if is_whole and set(curves["setting"]) == set(fits["setting"]) and fits["follows"].dtype == bool:
            return Figure4(curves, fits)
    except (ValueError, KeyError, OSError):
        pass
    log.warning("warning: %s or %s in %s cannot be used and is made again", FITS, CURVES, directory)
    return None


def _fit_settings(
    table: Table, rows: Array, settings: Sequence[Setting], trainer: TrainerConfig, directory: Path
) -> dict[Setting, list[FitResult]]:
    """Return the fits of each setting to some rows, one for each seed."""
    fitted: dict[Setting, list[FitResult]] = {}
    calls: dict[tuple[int | None, int], list[Setting]] = {}  # what one call of fit shares
    for setting in settings:
        calls.setdefault((setting.batch_size, 32 if setting.scaled else 64), []).append(setting)
    for number, ((batch_size, precision), together) in enumerate(calls.items(), start=1):
        log.info("figure 4, part %d of %d: %s", number, len(calls), "; ".join(each.name for each in together))
        members = [_build_member(table, rows, each, seed) for each in together for seed in range(_NUM_SEEDS)]
        own = replace(
            trainer, max_epochs=max(PRINTED), stop_loss=0.001, patience=None, batch_size=batch_size, precision=precision
        )
        name = f"{NAME}-{len(rows)}-{batch_size}-{precision}"
        size = max(1, min(_MOST, len(members) // max_workers(own.num_threads)))  # members of one shape use all cores
        results = fit(members, own, directory=directory / "checkpoints" / name, group_size=size)
        for place, setting in enumerate(together):
            fitted[setting] = results[place * _NUM_SEEDS : (place + 1) * _NUM_SEEDS]
    return {setting: fitted[setting] for setting in settings}


def _build_member(table: Table, rows: Array, setting: Setting, seed: int) -> Member:
    statistics, filled = fit_preprocessing(table.inputs[rows], 10.0)
    if not setting.scaled:
        zeros = np.zeros_like(statistics.mean)
        statistics = replace(statistics, mean=zeros, scale=np.ones_like(zeros), clip=np.inf)
    nothing = table.inputs[:0], np.zeros(0, dtype=int)
    training_set = TrainingSet(filled, table.labels[rows].astype(int), *nothing, statistics, table.names, {})
    return Member(SACNNConfig("sacnn", **setting.model), OptimizerConfig(lr=setting.lr), training_set, seed)


def _loss_at(result: FitResult, epoch: int) -> float:
    losses = result.history["train/loss"].to_numpy()
    return float(losses[min(epoch, len(losses)) - 1])


def _accuracy(result: FitResult, table: Table, rows: Array) -> float:
    risks = result.predictor().predict(table.inputs[rows])
    return float(((risks > 0.5) == (table.labels[rows] == 1)).mean())
