"""What ``debug=`` changes in a run."""

import logging
from collections.abc import Sequence

from sklearn.metrics import log_loss

from hemexp.config import DebugConfig, TrainConfig
from hemexp.data.datamodule import ExpansionDataModule
from hemexp.errors import CheckFailed
from hemexp.types import Array

log = logging.getLogger(__name__)


def get_verdict(cfg: TrainConfig) -> str:
    """Return the verdict of a run that went well: only one that was meant can be honest."""
    if cfg.debug.name == "off":
        return "HONEST"
    return f"INCOMPLETE: debug={cfg.debug.name} tries the machinery, it is no result"


def get_learning_indices(cfg: TrainConfig, data: ExpansionDataModule) -> list[int]:
    """Return the table positions of those whom the run learns from, the ones held out to watch among them."""
    indices = data.split.positions("train") + data.split.positions("val")
    return overfit_subset(data.labels["expansion"].to_numpy(dtype=float), indices, cfg.debug.num_patients)


def overfit_subset(labels: Array, indices: Sequence[int], num_patients: int) -> list[int]:
    """Return the first patients of each outcome in turn, until there are enough.

    Args:
        labels: of everybody.
        indices: positions of those to choose from.
        num_patients: how many, or all where there are fewer; 0: all.

    Shape:
        labels: (N,).
    """
    if not num_patients:
        return list(indices)
    place: dict[float, int] = {}
    ranked = []
    for index in indices:
        outcome = float(labels[index])
        place[outcome] = place.get(outcome, 0) + 1
        ranked.append((place[outcome], index))
    return sorted(index for _, index in sorted(ranked)[:num_patients])


def check_overfit(debug: DebugConfig, labels: Array, risks: Array) -> None:
    """Say whether the overfit_subset was learnt by heart.

    Shape:
        labels, risks: (P,), of the overfit_subset.

    Raises:
        CheckFailed: it was not.
    """
    loss = float(log_loss(labels, risks, labels=[0, 1]))
    told = f"debug={debug.name}: the log loss of {len(labels)} patients, learnt by heart, is {loss:.4f}"
    if not loss < debug.must_reach:
        raise CheckFailed(f"{told}, not below {debug.must_reach:g}: the model cannot learn, or trained too short")
    log.info("%s, below %g", told, debug.must_reach)
