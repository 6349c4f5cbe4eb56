"""Internal-external cross-validation: each center is left out once, and scored by a model of all other centers.

Steyerberg and Harrell, Journal of Clinical Epidemiology 2016;69:245-247; Debray et al., Statistics in Medicine
2013;32:3158-3180.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import expit, logit
from scipy.stats import norm

from hemexp.evaluation.calibration import CLIP, estimate_recalibration
from hemexp.evaluation.comparison import delong_test
from hemexp.evaluation.cross_validation import CrossValidated
from hemexp.evaluation.folds import Fold
from hemexp.evaluation.heterogeneity import pool_centers
from hemexp.evaluation.metrics import CONFIDENCE, score_predictions
from hemexp.files.result import CenterScore, CenterValidation, Heterogeneity, Score
from hemexp.formatting import bounds
from hemexp.metrics.table import METRICS
from hemexp.types import Array

MIN_OUTCOMES = 2  # patients of each outcome in a center that is scored
MIN_CENTERS = 3  # with fewer there is no prediction interval
_MOST_NOT_SCORED = 0.1  # share of the patients; without centers that have few events, the others seem to have many
_MIN_SPREAD = 1e-3  # standard deviation of logits below which all risks of a center count as equal
_Z = float(norm.ppf((1 + CONFIDENCE) / 2))


@dataclass(frozen=True, eq=False)
class CenterFolds:
    """The centers of a cohort, each as a fold.

    Attributes:
        names: of the scored centers, the largest first.
        folds: of each scored center; the number of the fold is the position of its center.
        not_scored: patients of the centers that only train, by center.
        num_without_center: patients without a center, who take no part.
    """

    names: list[str] = field(default_factory=list)
    folds: list[Fold] = field(default_factory=list)
    not_scored: dict[str, int] = field(default_factory=dict)
    num_without_center: int = 0


def divide_by_center(
    patients: pd.DataFrame, labels: Array, indices: Sequence[int], seed: int, groups: Array | None = None
) -> CenterFolds:
    """Return one fold for each center with at least `MIN_OUTCOMES` patients of each outcome.

    A person with ids in two centers does not train for the center that is left out.

    Args:
        patients: of the cohort, with the column ``center`` if it has one.
        labels: of all patients; 1 or 0 at `indices`.
        indices: table positions of the patients to divide.
        seed: of the fits.
        groups: of all patients: numbers that are equal for all ids of one person.

    Shape:
        patients: N rows; labels, groups: (N,).

    Returns:
        No folds with fewer than `MIN_CENTERS` scored centers.
    """
    rows = np.asarray(indices, dtype=int)
    if "center" not in patients:
        return CenterFolds(num_without_center=len(rows))
    centers = patients["center"].iloc[rows]
    placed, persons = rows[centers.notna()], np.arange(len(labels)) if groups is None else groups
    of_row = centers.dropna().astype(str).to_numpy()
    counts = pd.DataFrame({"center": of_row, "events": labels[placed]}).groupby("center")["events"].agg(["size", "sum"])
    counts = counts.sort_values("size", ascending=False, kind="stable")
    rarer = np.minimum(counts["sum"], counts["size"] - counts["sum"])
    names = list(map(str, counts.index[rarer >= MIN_OUTCOMES]))
    not_scored = {str(name): int(size) for name, size in counts["size"].items() if name not in names}
    folds = CenterFolds(not_scored=not_scored, num_without_center=len(rows) - len(placed))
    if len(names) < MIN_CENTERS:
        return replace(folds, not_scored={str(name): int(size) for name, size in counts["size"].items()})
    seeds = np.random.SeedSequence([seed, 2]).generate_state(len(names))
    for number, name in enumerate(names):
        test = placed[of_row == name]
        train = placed[(of_row != name) & ~np.isin(persons[placed], persons[test])]
        folds.folds.append(Fold(0, number, int(seeds[number]), train, test))
    return replace(folds, names=names)


def validate_by_center(
    divided: CenterFolds, validated: Mapping[str, CrossValidated]
) -> tuple[CenterValidation, pd.DataFrame]:
    """Score the model in each center, and pool the scores over the centers.

    The AUROC is pooled on the scale of its logit, with the variance of Newcombe's method 4, which is defined for a
    perfect ranking, too (Debray et al., Statistical Methods in Medical Research 2019;28:2768-2786). Intercept and slope
    of calibration have the errors of their logistic regressions (Wald). The intercepts are pooled as distances from the
    mean of all centers.

    Args:
        divided: with folds.
        validated: the models in these folds, the run's model first.

    Returns:
        The block of result.json, and the rows of centers.csv.
    """
    (_, model), *others = validated.items()
    best = max(others, key=lambda item: np.nanmean(item[1].scores["auroc"]), default=None)
    rows = []
    for name, fold in zip(divided.names, divided.folds, strict=True):
        y, p = model.labels[fold.test], model.probabilities[0, fold.test]
        scores = score_predictions(y, p, 0, "", [METRICS["auroc"], METRICS["brier"]])
        intercept, slope = estimate_with_errors(y, p)
        row = CenterScore(
            center=name,
            num_train=len(fold.train),
            num_patients=len(y),
            events=int(y.sum()),
            auroc=scores["auroc"],
            intercept=_wald(*intercept),
            slope=_wald(*slope),
            brier=scores["brier"],
            mean_risk=float(p.mean()),
            observed=float(y.mean()),
        )
        if best is not None:
            row.auroc_difference = delong_test(y, p, best[1].probabilities[0, fold.test])
        rows.append(row)
    aurocs = pool_centers(*np.array([_logit_auroc(row) for row in rows]).T)
    pooled = {name: _pool([getattr(row, name) for row in rows]) for name in ("slope", "auroc_difference")}
    if not is_selected(divided.not_scored, rows):
        pooled["intercept"] = _pool([_beside_all(row) for row in rows])
    block = CenterValidation(
        centers=rows,
        not_scored=divided.not_scored,
        num_without_center=divided.num_without_center,
        best_baseline=best[0] if best is not None else None,
        auroc=_on_scale_of_auroc(aurocs) if aurocs else None,
        **pooled,
    )
    return block, pd.DataFrame([_flatten(asdict(row)) for row in rows])


@np.errstate(divide="ignore", invalid="ignore")
def estimate_with_errors(y: Array, p: Array) -> tuple[tuple[float, float], tuple[float, float]]:
    """Return the calibration intercept at slope 1 and the calibration slope, each with its standard error.

    NaN where there is no solution, and for the slope where all risks are equal.

    Shape:
        y, p: (N,).
    """
    z, weights = logit(np.clip(p, CLIP, 1 - CLIP)), np.ones((1, len(y)))
    (alone, _), (intercept, slope) = (
        estimate_recalibration(y, p, weights, with_slope)[0] for with_slope in (False, True)
    )
    spread = _variance(intercept + slope * z)
    about_mean = float(spread @ (z - spread @ z / spread.sum()) ** 2)  # the information on the slope
    no_slope = np.std(z) < _MIN_SPREAD or not about_mean > 0
    of_slope = (np.nan, np.nan) if no_slope else (float(slope), about_mean**-0.5)
    return (float(alone), float(_variance(alone + z).sum() ** -0.5)), of_slope


def is_selected(not_scored: Mapping[str, int], rows: Sequence[CenterScore]) -> bool:
    """Return whether so many patients are in centers with too few of an outcome that the mean intercept is biased."""
    left_out, scored = sum(not_scored.values()), sum(row.num_patients for row in rows)
    return left_out > _MOST_NOT_SCORED * (left_out + scored)


def _variance(logits: Array) -> Array:
    """Return the variance of the outcome of each patient, from the logit of the risk."""
    return np.asarray(expit(logits) * expit(-logits))


def _wald(value: float, error: float) -> Score:
    if not np.isfinite(value) or not np.isfinite(error):
        return Score()
    return Score(value=value, low=value - _Z * error, high=value + _Z * error)


def _logit_auroc(row: CenterScore) -> tuple[float, float]:
    """Return the logit of the AUROC of a center and its variance; a perfect ranking lacks half a pair."""
    events, others = row.events, row.num_patients - row.events
    half_pair = 0.5 / (events * others)
    area = float(np.clip(row.auroc.value or 0.0, half_pair, 1 - half_pair))
    size = (events + others) / 2 - 1
    variance = area * (1 - area) * (1 + size * ((1 - area) / (2 - area) + area / (1 + area))) / (events * others)
    return float(logit(area)), variance / (area * (1 - area)) ** 2


def _pool(scores: Sequence[Score]) -> Heterogeneity | None:
    """Return scores pooled with the variances that their symmetric intervals state."""
    values, lows, highs = np.array([bounds(score) for score in scores]).T
    return pool_centers(values, ((highs - lows) / (2 * _Z)) ** 2)


def _beside_all(row: CenterScore) -> Score:
    """Return the intercept of a center beside the mean of all centers, itself included.

    The risks rest on the mean of the other centers, which is on the other side of the mean of all: centers that do not
    differ would seem to differ.
    """
    if row.intercept.value is None or row.intercept.high is None:
        return Score()
    value = row.intercept.value * row.num_train / (row.num_train + row.num_patients)
    reach = row.intercept.high - row.intercept.value
    return Score(value=value, low=value - reach, high=value + reach)


def _on_scale_of_auroc(pooled: Heterogeneity) -> Heterogeneity:
    ends = ("mean", "low", "high", "predicted_low", "predicted_high")
    areas: dict[str, Any] = {name: float(expit(getattr(pooled, name))) for name in ends}
    return replace(pooled, **areas)


def _flatten(row: Mapping[str, object]) -> dict[str, object]:
    """Return the row of a center with a column for each number: ``auroc``, ``auroc_low``, ``auroc_high``."""
    flat: dict[str, object] = {}
    for name, value in row.items():
        if isinstance(value, Mapping):
            ends = {"": "value", "_low": "low", "_high": "high"}
            flat |= {f"{name}{end}": value[key] for end, key in ends.items()}
        else:
            flat[name] = value
    return flat
