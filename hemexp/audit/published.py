"""Score a published table in its training part and outside of it, and compare the gap with the protocols."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from hemexp.audit.predictions import Predictions
from hemexp.audit.run import Audit, Row
from hemexp.audit.table import AuditData
from hemexp.errors import UserError
from hemexp.evaluation.brain import compare_with_brain
from hemexp.evaluation.calibration import calibration, resample
from hemexp.evaluation.metrics import CONFIDENCE, proportion, score_predictions
from hemexp.files.result import Calibration, ComparedModel, Score
from hemexp.formatting import bounds
from hemexp.metrics.functions import brier
from hemexp.metrics.table import STANDARD
from hemexp.types import Array

TRAINING, OUTSIDE, ALL = "training", "outside", "all"
_RESAMPLES = 2000


@dataclass(frozen=True)
class Part:
    """The scores of one part: accuracy, majority_accuracy, sensitivity, specificity, observed (share), auroc ..."""

    name: str
    num_patients: int
    events: int
    scores: dict[str, Score]
    calibration: Calibration | None


@dataclass(frozen=True)
class Published:
    """The worth of a published table.

    Attributes:
        parts: those with known outcomes: training and outside, or all where the table does not say who was in training.
        judged: the part that shows the worth: outside, or the only one.
        measure: auroc, or accuracy for a table of classes.
        gap: the measure in training minus outside; None without both parts.
        share: the risk that the table is compared with: the share of expansion in training, or else in `judged`.
        skill: 1 - Brier score / Brier score of this risk for everybody, in `judged`.
        brain: AUROC against the BRAIN score on the same patients, with the difference; None where it is not possible.
        num_unknown: patients of the table without a known outcome, who are not scored.
        num_absent: patients of the cohort that the table does not have.
        num_twins: patients outside who are in training under another id, by their measurements.
    """

    parts: list[Part]
    judged: Part
    measure: str
    gap: Score | None
    share: float
    skill: Score
    brain: ComparedModel | None
    num_unknown: int
    num_absent: int
    num_twins: int

    def find_similar(self, audit: Audit) -> list[Row]:
        """Return the protocols that can inflate the scores by as much, the nearest first.

        Their inflation lies in the interval of the gap in AUROC. Without such a gap, all protocols are compared: their
        measure lies in its interval in the training part, or in the only one.
        """
        if self.gap is not None and self.measure == "auroc":
            target, values = self.gap, [(audit.inflation(row), row) for row in audit.rows if row.protocol.leak]
        else:
            target = self.parts[0].scores[self.measure]
            values = [(row.mean(self.measure), row) for row in audit.rows]
        center, low, high = bounds(target)
        near = [(abs(value - center), i) for i, (value, _) in enumerate(values) if low <= value <= high]
        return [values[i][1] for _, i in sorted(near)]

    def frame(self) -> pd.DataFrame:
        """Return the rows of ``audit.csv`` about the table."""
        gap = {TRAINING: self.gap.value, OUTSIDE: 0.0} if self.gap and self.measure == "auroc" else {}
        return pd.DataFrame(
            {
                "protocol": f"predictions_{part.name}",
                "leak": {TRAINING: 1, OUTSIDE: 0}.get(part.name, pd.NA),
                "model": "published",
                "accuracy": part.scores["accuracy"].value,
                "auroc": part.scores["auroc"].value,
                "majority_accuracy": part.scores["majority_accuracy"].value,
                "inflation": gap.get(part.name, np.nan),
                "num_seeds": 1,
            }
            for part in self.parts
        ).astype({"leak": "Int64", "auroc": float})


def score_table(predictions: Predictions, data: AuditData) -> Published:
    """Score a published table.

    Args:
        predictions: the table.
        data: the cohort, with the definition of the outcome.

    Raises:
        UserError: no patient has a known outcome, or those of a part all have the same.
    """
    outcomes = data.outcomes(data.label)[predictions.patients]
    known, inside = ~np.isnan(outcomes), predictions.in_training
    where = {ALL: known} if inside is None else {TRAINING: known & inside, OUTSIDE: known & ~inside}
    where = {name: rows for name, rows in where.items() if rows.any()}
    if not where:
        raise UserError("predictions: no patient of the table has a known outcome; rule: both outcomes in a part")
    for name, rows in where.items():
        events, number = int(outcomes[rows].sum()), int(rows.sum())
        if events in {0, number}:
            raise UserError(
                f"predictions: {name} part: {events} of {number} patients with a known outcome have expansion; rule: "
                "both outcomes in each part; add patients, or remove the column that says who was in training"
            )
    names = list(where)
    share = float(outcomes[where[names[0]]].mean())
    parts = [_score_part(name, outcomes[rows], rows, predictions, int(share > 0.5)) for name, rows in where.items()]
    rows, judged = where[names[-1]], parts[-1]
    measure = "accuracy" if predictions.probability is None else "auroc"
    y, skill, brain = outcomes[rows], Score(), None
    if predictions.probability is not None:
        risks = predictions.probability[rows]
        skill = _compute_skill(y, risks, share)
        patients = data.cohort.patients.iloc[predictions.patients[rows]]
        compared, _ = compare_with_brain(patients, y, risks, "published")
        brain = compared[1] if compared and compared[1].test_auroc_difference else None
    trained = set() if inside is None else set(predictions.patients[inside].tolist())
    outside = set(predictions.patients.tolist()) - trained
    return Published(
        parts=parts,
        judged=judged,
        measure=measure,
        gap=_subtract(parts[0].scores[measure], parts[1].scores[measure]) if len(parts) > 1 else None,
        share=share,
        skill=skill,
        brain=brain,
        num_unknown=int((~known).sum()),
        num_absent=len(data.cohort.patients) - len(outcomes),
        num_twins=sum(len({a, b} & trained) == len({a, b} & outside) == 1 for a, b in data.cohort.same_patients),
    )


def _score_part(name: str, y: Array, rows: Array, predictions: Predictions, majority: int) -> Part:
    """Return the scores of a part; those that need a probability are None where there is none."""
    predicted = predictions.predicted[rows]
    risks = predicted if predictions.probability is None else predictions.probability[rows]
    scores = score_predictions(y, risks, majority, prefix="")
    scores |= {
        "accuracy": proportion(predicted == y),
        "sensitivity": proportion(predicted[y == 1] == 1),
        "specificity": proportion(predicted[y == 0] == 0),
        "observed": proportion(y == 1),
    }
    if predictions.probability is None:
        scores |= {metric.name: Score() for metric in STANDARD if metric.interval != "exact"}  # need a probability
        return Part(name, len(y), int(y.sum()), scores, None)
    return Part(name, len(y), int(y.sum()), scores, calibration(y, risks[None]))


def _compute_skill(y: Array, risks: Array, share: float) -> Score:
    """Return 1 - Brier score / Brier score of the same risk for everybody, with a bootstrap interval over patients.

    Shape:
        y, risks: (N,).
    """
    weights = resample(len(y), 1, _RESAMPLES)
    values = 1 - brier(y, risks, weights) / brier(y, np.full(len(y), share), weights)
    tail = (1 - CONFIDENCE) / 2
    low, high = (float(q) for q in np.quantile(values[1:], [tail, 1 - tail]))
    return Score(value=float(values[0]), low=low, high=high)


def _subtract(first: Score, second: Score) -> Score:
    """Return the difference of two scores of different patients, with an interval from the two intervals.

    Zou and Donner, Statistics in Medicine 2008;27:1693-1702. Unlike the sum of DeLong's variances, which are 0 at an
    AUROC of 1, it keeps the uncertainty of a perfect score.
    """
    (a, a_low, a_high), (b, b_low, b_high) = bounds(first), bounds(second)
    low, high = a - b - np.hypot(a - a_low, b_high - b), a - b + np.hypot(a_high - a, b - b_low)
    return Score(value=a - b, low=float(low), high=float(high))
