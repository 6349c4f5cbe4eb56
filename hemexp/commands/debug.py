"""What ``debug=`` changes in a run."""

import logging

from sklearn.metrics import log_loss

from hemexp.config import DebugConfig, TrainConfig
from hemexp.errors import CheckFailed
from hemexp.types import Array

log = logging.getLogger(__name__)


def get_verdict(cfg: TrainConfig) -> str:
    """Return the verdict of a run that went well: only one that was meant can be honest."""
    if cfg.debug.name == "off":
        return "HONEST"
    return f"INCOMPLETE: debug={cfg.debug.name} tries the machinery, it is no result"


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
