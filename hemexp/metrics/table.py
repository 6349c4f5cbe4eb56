"""The table of metrics: name, function, wording, direction, range and interval of each."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from hemexp.metrics import functions as f
from hemexp.types import Array

NUM_RESAMPLES = 2000  # bootstrap samples of an interval


@dataclass(frozen=True, kw_only=True)
class Metric:
    """A row of the table.

    Attributes:
        name: what follows ``test/`` and ``cv/``.
        text: name in the console and on the pages.
        higher_is_better: the direction; None where it has none, and then it cannot rank.
        function: the score for each row of weights; shapes as in `hemexp.metrics.functions.auroc`.
        by_patient: where the score is a mean over patients, the value of each: (N,) from labels and probabilities.
        interval: how the interval is computed: ``bootstrap``, ``exact`` (Clopper-Pearson) or ``newcombe``.
        limits: the lowest and the highest possible value.
        needs_both_outcomes: not defined where one outcome is missing.
        is_reference: of always predicting the majority, not of the model.
        digits: decimal places on the pages.
        num_resamples: bootstrap samples of its interval.
        source: what a user wrote in ``metrics=``; empty for a standard metric.
    """

    name: str
    text: str
    higher_is_better: bool | None
    function: f.WeightedFunction
    by_patient: Callable[[Array, Array], Array] | None = None
    interval: str = "bootstrap"
    limits: tuple[float, float] = (0.0, 1.0)
    needs_both_outcomes: bool = False
    is_reference: bool = False
    digits: int = 2
    num_resamples: int = NUM_RESAMPLES
    source: str = ""

    @property
    def ranks(self) -> bool:
        """Whether it can rank the jobs of a sweep."""
        return self.higher_is_better is not None and not self.is_reference

    def compute(self, y: Array, p: Array) -> float:
        """Return the score of all patients; NaN where it is not defined.

        Shape:
            y, p: (N,).
        """
        if len(y) == 0 or (self.needs_both_outcomes and not 0 < y.sum() < len(y)):
            return math.nan
        return float(self.function(y, p, np.ones((1, len(y))))[0])


METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric(name="auroc", text="AUROC", higher_is_better=True, function=f.auroc, interval="newcombe",
               needs_both_outcomes=True),
        Metric(name="brier", text="Brier score", higher_is_better=False, digits=3, function=f.brier,
               by_patient=f.squared_errors),
        Metric(name="log_loss", text="log loss", higher_is_better=False, digits=3, limits=(0.0, math.inf),
               function=f.log_loss, by_patient=f.log_losses),
        Metric(name="auprc", text="AUPRC", higher_is_better=True, function=f.average_precision,
               needs_both_outcomes=True),
        Metric(name="accuracy", text="accuracy", higher_is_better=True, digits=3, interval="exact",
               function=f.accuracy, by_patient=f.hits),
        Metric(name="majority_accuracy", text="accuracy of always the majority", higher_is_better=True, digits=3,
               interval="exact", function=f.accuracy, is_reference=True),
    )
}  # fmt: skip
STANDARD = tuple(METRICS.values())
RANKING = tuple(metric.name for metric in STANDARD if metric.ranks)


def score_points(y: Array, p: Array, majority: int, metrics: Sequence[Metric] = STANDARD) -> dict[str, float]:
    """Return scores without intervals, by name; NaN where a score is not defined.

    Args:
        y: 1 or 0.
        p: probabilities of 1.
        majority: the more frequent label of the training part.
        metrics: to compute.

    Shape:
        y, p: (N,).
    """
    constant = np.full(len(y), float(majority))
    return {metric.name: metric.compute(y, constant if metric.is_reference else p) for metric in metrics}
