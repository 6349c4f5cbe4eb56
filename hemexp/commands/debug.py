"""Effects of ``debug=``: an incomplete verdict, few training patients, and the check that a model can overfit."""

import logging

from sklearn.metrics import log_loss

from hemexp.config import DebugConfig, TrainConfig
from hemexp.errors import CheckFailed
from hemexp.files.result import INCOMPLETE, LEAKAGE, NO_LEAKAGE
from hemexp.types import Array

log = logging.getLogger(__name__)


def get_verdict(cfg: TrainConfig, leak: str | None) -> str:
    """Return the verdict of a run that ended, with the leak that was found; a debug run stays incomplete."""
    if cfg.debug.name == "off":
        return f"{LEAKAGE}: {leak}" if leak else NO_LEAKAGE
    return f"{INCOMPLETE}: debug={cfg.debug.name} tests the program, its scores are not a result"


def check_overfit(debug: DebugConfig, labels: Array, risks: Array) -> None:
    """Check that the model overfits a few patients, as every working model can.

    Shape:
        labels, risks: (P,), of the overfit subset.

    Raises:
        CheckFailed: the log loss is too high.
    """
    loss = float(log_loss(labels, risks, labels=[0, 1]))
    message = f"debug={debug.name}: the log loss of {len(labels)} overfitted patients is {loss:.4f}"
    if not loss < debug.must_reach:
        raise CheckFailed(f"{message}, not below {debug.must_reach:g}: the model cannot learn, or trained too short")
    log.info("%s, below %g", message, debug.must_reach)
