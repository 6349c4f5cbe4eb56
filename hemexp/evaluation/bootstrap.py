"""Optimism of the scores and instability of the risks, from refits of the whole pipeline on bootstrap samples."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from hemexp.data.split import divide_persons
from hemexp.evaluation.calibration import calibration_slope
from hemexp.evaluation.metrics import CONFIDENCE
from hemexp.evaluation.pipeline import Pipeline
from hemexp.files.result import Instability, Optimism, OptimismOf
from hemexp.metrics.functions import auroc, brier
from hemexp.training.member import FitResult
from hemexp.types import Array

MIN_OUTCOMES = 5  # patients of each outcome that bootstrap samples are drawn from; with fewer most samples are useless
_MIN_DRAWN = 2  # different patients of each outcome in a bootstrap sample
_MAX_UNDEFINED = 0.1  # share of refits that may be left out of a mean
_MEMORIZED = 0.99  # apparent AUROC from which the model is considered to memorize
_NOTE = (
    "the model ranks the patients it was fitted to almost without error: it memorizes them. The optimism-corrected "
    "scores are then too good; use the out-of-bag score, the .632+ estimate or the cross-validation"
)
_NO_INFORMATION: dict[str, Callable[[Array, Array], float]] = {  # the score if risks and outcomes were independent
    "auroc": lambda y, p: 0.5,
    "brier": lambda y, p: float(np.mean(p**2) - 2 * p.mean() * y.mean() + y.mean()),
}


def optimism(labels: Array, apparent: Array, refits: Array, counts: Array) -> Optimism:
    """Return Harrell's optimism of AUROC, Brier score and calibration slope, and the out-of-bag scores.

    Optimism is the mean over refits of the score on the bootstrap sample minus the score on the original patients
    (Harrell et al., Statistics in Medicine 1996;15:361-387). The corrected score is the apparent score minus optimism.
    A refit is left out if its score is not defined (one outcome only, or no slope because the risks separate the
    outcomes). If more than 10 % of the refits are left out, or the apparent score is not defined, the results that
    need them are None.

    About two thirds of the original patients are also in a bootstrap sample. A model that memorizes them scores well on
    the original patients, and Harrell's correction is far too small. ``out_of_bag`` is the mean score on the patients
    outside the sample. ``corrected_632plus`` is the weighted mean of the apparent and the out-of-bag score of Efron and
    Tibshirani (JASA 1997;92:548-560).

    Args:
        labels: 1 or 0.
        apparent: risks from the model for the patients that it was fitted to.
        refits: risks of the same patients, from the model refitted on each bootstrap sample.
        counts: how often each patient is in each bootstrap sample.

    Shape:
        labels, apparent: (N,); refits, counts: (B, N).
    """
    y = labels.astype(float)
    all_patients = np.ones((1, len(y)))
    scores: dict[str, OptimismOf] = {}
    for name, measure in {"auroc": auroc, "brier": brier, "calibration_slope": calibration_slope}.items():
        with np.errstate(invalid="ignore", divide="ignore"):  # an AUROC of one outcome is 0 / 0
            value = float(measure(y, apparent, all_patients)[0])
            refitted = np.array(
                [
                    measure(y, p, np.vstack([count, all_patients, count == 0]))
                    for p, count in zip(refits, counts, strict=True)
                ]
            )  # (B, 3): in the sample, in all patients, in the patients outside the sample
        mean, out_of_bag = _mean(refitted[:, 0] - refitted[:, 1]), _mean(refitted[:, 2])
        score = OptimismOf(apparent=None, optimism=mean, corrected=None, out_of_bag=out_of_bag)
        if np.isfinite(value):
            score.apparent = value
            score.corrected = None if mean is None else value - mean
            if name in _NO_INFORMATION and out_of_bag is not None:
                score.corrected_632plus = _get_632plus(value, out_of_bag, _NO_INFORMATION[name](y, apparent))
        scores[name] = score
    memorizes = (scores["auroc"].apparent or 0.0) > _MEMORIZED
    return Optimism(num_refits=len(refits), **scores, note=_NOTE if memorizes else "")


def _mean(values: Array) -> float | None:
    """Return the mean of the finite values; None where there are too few."""
    defined = values[np.isfinite(values)]
    return float(defined.mean()) if len(defined) >= max(1, (1 - _MAX_UNDEFINED) * len(values)) else None


def _get_632plus(apparent: float, out_of_bag: float, no_information: float) -> float:
    """Return the .632+ estimate: the apparent score loses weight as the out-of-bag score nears no information."""
    rate = (out_of_bag - apparent) / (no_information - apparent) if no_information != apparent else 0.0
    if rate > 1:
        out_of_bag = no_information  # the score is not counted as worse than no information
    weight = 0.632 / (1 - 0.368 * min(max(rate, 0.0), 1.0))
    return (1 - weight) * apparent + weight * out_of_bag


def instability(risks: Array, refits: Array, threshold: float = 0.5) -> tuple[Instability, pd.DataFrame]:
    """Return the change of the risks between bootstrap refits (Riley and Collins, Biometrical Journal 2023;65:2200302).

    Args:
        risks: from the model.
        refits: risks of the same patients, from the model refitted on each bootstrap sample.
        threshold: of risk; a refit changes the class of a patient if its risk is on the other side of the threshold.

    Shape:
        risks: (N,); refits: (B, N).

    Returns:
        The summary, and a table with a row for each patient: the interval that holds 95 % of the refits and the mean
        absolute difference from the model.
    """
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(refits, [tail, 1 - tail], axis=0)
    difference = np.abs(refits - risks).mean(axis=0)
    changed = (refits >= threshold) != (risks >= threshold)
    summary = Instability(
        num_refits=len(refits),
        threshold=threshold,
        mean_absolute_difference=float(difference.mean()),
        median_interval_width=float(np.median(high - low)),
        classification_instability=float(changed.mean()),
    )
    table = {"probability": risks, "low": low, "high": high, "mean_absolute_difference": difference}
    return summary, pd.DataFrame(table)


@dataclass(frozen=True, eq=False)
class BootstrapRefits:
    """The results of refitting a pipeline on bootstrap samples.

    Attributes:
        optimism: of the scores.
        instability: of the risks.
        table: the columns of instability.csv that refits give, a row for each patient.
        risks: (N,) from the fit to all patients.
        refits: (B, N) from the fit to each bootstrap sample.
    """

    optimism: Optimism
    instability: Instability
    table: pd.DataFrame
    risks: Array
    refits: Array


def draw_samples(
    labels: Array, indices: Sequence[int], num_refits: int, seed: int, groups: Array | None = None
) -> tuple[list[Array], list[int]]:
    """Return the patients of the fit to all and of each bootstrap sample, and a seed for each fit.

    Args:
        labels: of all patients; 1 or 0 at `indices`.
        indices: table positions of the patients.
        num_refits: number of bootstrap samples; each holds both outcomes.
        seed: of the samples and of the seeds.
        groups: of all patients: numbers that are equal for all ids of one person, who is drawn with all of them; None
            where each person has one id.

    Returns:
        Table positions, `indices` first; empty lists for no refits, or with fewer than `MIN_OUTCOMES` patients of an
        outcome.
    """
    rows, rng = np.asarray(indices, dtype=int), np.random.default_rng(seed)
    persons, outcomes = divide_persons(labels[rows], rows if groups is None else groups[rows])
    if not num_refits or min((outcomes == outcome).sum() for outcome in (0, 1)) < MIN_OUTCOMES:
        return [], []
    samples = [rows]
    while len(samples) <= num_refits:
        drawn = np.sort(rng.integers(len(outcomes), size=len(outcomes)))
        num_distinct = min(len(np.unique(drawn[outcomes[drawn] == outcome])) for outcome in (0, 1))
        if num_distinct >= _MIN_DRAWN:  # needed to cut a validation part out of the sample
            times = np.bincount(drawn, minlength=len(outcomes))
            samples.append(np.repeat(rows, times[persons]))
    return samples, np.random.SeedSequence([seed, 1]).generate_state(num_refits + 1).tolist()


def bootstrap_refits(
    pipeline: Pipeline, samples: Sequence[Array], results: Sequence[FitResult], threshold: float = 0.5
) -> BootstrapRefits:
    """Return the optimism of the scores and the instability of the risks.

    Args:
        pipeline: of the run.
        samples: from `draw_samples`.
        results: the fit to each sample.
        threshold: of risk, for the instability of classes.
    """
    rows = samples[0]
    labels = pipeline.labels[rows]
    risks = np.stack([result.predictor().predict(pipeline.raw[rows]) for result in results])  # (1 + B, N)
    counts = np.stack([np.bincount(sample, minlength=rows.max() + 1)[rows] for sample in samples[1:]]).astype(float)
    summary, table = instability(risks[0], risks[1:], threshold)
    return BootstrapRefits(optimism(labels, risks[0], risks[1:], counts), summary, table, risks[0], risks[1:])
