"""What refitting the whole pipeline on bootstrap samples says: optimism of the scores, instability of the risks."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from hemexp.evaluation.calibration import calibration_slope
from hemexp.evaluation.metrics import CONFIDENCE, auroc, brier
from hemexp.evaluation.pipeline import Pipeline
from hemexp.training.fit import fit
from hemexp.types import Array

_UNDEFINED = 0.1  # share of refits that may be left out of a mean
_MEMORIZED = 0.99  # apparent AUROC
_MEMORIZES = (
    "the model ranks the patients it was fitted to almost without error: it memorizes, and subtracting the optimism "
    "is not enough; read the out-of-bag score or the .632+ estimate, and the cross-validation"
)
_UNINFORMED: dict[str, Callable[[Array, Array], float]] = {  # the score where risks and outcomes had nothing in common
    "auroc": lambda y, p: 0.5,
    "brier": lambda y, p: float(np.mean(p**2) - 2 * p.mean() * y.mean() + y.mean()),
}


def optimism(labels: Array, apparent: Array, refits: Array, counts: Array) -> dict[str, Any]:
    """Return Harrell's optimism of AUROC, Brier score and calibration slope, and what the out-of-bag patients say.

    Optimism is the mean over refits of the score on the bootstrap sample minus the score on the original patients
    (Harrell et al., Statistics in Medicine 1996;15:361-387); the corrected score is the apparent one less it. A refit
    whose score is not defined (one outcome only, or risks that separate the outcomes, which have no slope) is left out;
    if that happens to more than a tenth, or to the apparent score, the results that need it are None.

    Two thirds of the original patients are in a sample too: a model that memorizes them looks good on the original
    ones, and Harrell's correction is then far too small. ``out_of_bag`` is the mean score on those left out of a
    sample; ``corrected_632plus`` weighs it with the apparent score after Efron and Tibshirani (JASA 1997;92:548-560).

    Args:
        labels: 1 or 0.
        apparent: risks of the model for the patients it was fitted to.
        refits: risks of all these patients, from the model refitted on each bootstrap sample.
        counts: how often each patient is in each sample.

    Shape:
        labels, apparent: (N,); refits, counts: (B, N).
    """
    y = labels.astype(float)
    everybody = np.ones((1, len(y)))
    block: dict[str, Any] = {"num_refits": len(refits)}
    for name, measure in {"auroc": auroc, "brier": brier, "calibration_slope": calibration_slope}.items():
        with np.errstate(invalid="ignore", divide="ignore"):  # an AUROC of one outcome is 0 / 0
            value = float(measure(y, apparent, everybody)[0])
            scores = np.array(
                [
                    measure(y, p, np.vstack([count, everybody, count == 0]))
                    for p, count in zip(refits, counts, strict=True)
                ]
            )  # (B, 3): on the sample, on all, on those left out
        mean, out_of_bag = _mean(scores[:, 0] - scores[:, 1]), _mean(scores[:, 2])
        known = np.isfinite(value)
        block[name] = {
            "apparent": value if known else None,
            "optimism": mean,
            "corrected": value - mean if mean is not None and known else None,
            "out_of_bag": out_of_bag,
        }
        if name in _UNINFORMED and out_of_bag is not None and known:
            block[name]["corrected_632plus"] = _weigh(value, out_of_bag, _UNINFORMED[name](y, apparent))
    fitted = block["auroc"]["apparent"]
    block["note"] = _MEMORIZES if fitted is not None and fitted > _MEMORIZED else ""
    return block


def _mean(values: Array) -> float | None:
    """Return the mean of what is defined; None where too little is."""
    defined = values[np.isfinite(values)]
    return float(defined.mean()) if len(defined) >= max(1, (1 - _UNDEFINED) * len(values)) else None


def _weigh(apparent: float, out_of_bag: float, uninformed: float) -> float:
    """Return the .632+ estimate: the nearer the out-of-bag score to knowing nothing, the less the apparent counts."""
    rate = (out_of_bag - apparent) / (uninformed - apparent) if uninformed != apparent else 0.0
    if rate > 1:
        out_of_bag = uninformed  # no worse than knowing nothing
    weight = 0.632 / (1 - 0.368 * min(max(rate, 0.0), 1.0))
    return (1 - weight) * apparent + weight * out_of_bag


def instability(risks: Array, refits: Array, threshold: float = 0.5) -> tuple[dict[str, Any], pd.DataFrame]:
    """Return how much patients' risks change with the sample (Riley and Collins, Biometrical Journal 2023;65:2200302).

    Args:
        risks: of the model.
        refits: of the same patients, from the model refitted on each bootstrap sample.
        threshold: of risk; classification instability is the share of refits that put a patient on the other side of it
            than the model does, averaged over patients.

    Shape:
        risks: (N,); refits: (B, N).

    Returns:
        The means over patients (the interval's width: the median), and a row a patient with the interval that holds
        95 % of the refits and the mean absolute difference from the model.
    """
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(refits, [tail, 1 - tail], axis=0)
    difference = np.abs(refits - risks).mean(axis=0)
    changed = (refits >= threshold) != (risks >= threshold)
    block = {
        "num_refits": len(refits),
        "threshold": threshold,
        "mean_absolute_difference": float(difference.mean()),
        "median_interval_width": float(np.median(high - low)),
        "classification_instability": float(changed.mean()),
    }
    table = {"probability": risks, "low": low, "high": high, "mean_absolute_difference": difference}
    return block, pd.DataFrame(table)


_FEWEST_DRAWN = 2  # different patients of each outcome in a bootstrap sample


FEWEST_TO_DRAW = 5  # patients of each outcome: of fewer, hardly a sample would do


def bootstrap_refits(
    pipeline: Pipeline,
    indices: Sequence[int],
    num_refits: int,
    seed: int,
    threshold: float = 0.5,
    directory: Path | None = None,
) -> tuple[dict[str, Any], Array, Array]:
    """Fit the pipeline to all patients and to bootstrap samples of them.

    Args:
        pipeline: the run's.
        indices: table positions of the patients, `FEWEST_TO_DRAW` of each outcome at least.
        num_refits: bootstrap samples; each holds both outcomes.
        seed: of samples and fits.
        threshold: of risk, for the instability of classifications.
        directory: see `hemexp.training.fit`.

    Returns:
        The blocks ``optimism`` and ``instability`` of result.json with the table of instability.csv under ``table``;
        the patients' risks (N,) and those from each refit (B, N).
    """
    rows, rng = np.asarray(indices, dtype=int), np.random.default_rng(seed)
    labels = pipeline.labels[rows]
    seeds = np.random.SeedSequence([seed, 1]).generate_state(num_refits + 1).tolist()
    samples: list[Array] = []
    members = [pipeline.member(indices, seeds[0])]
    while len(samples) < num_refits:
        drawn = np.sort(rng.integers(len(rows), size=len(rows)))
        fewest = min(len(np.unique(drawn[labels[drawn] == outcome])) for outcome in (0, 1))
        if fewest >= _FEWEST_DRAWN:  # else no part could be held out of it
            samples.append(drawn)
            members.append(pipeline.member(rows[drawn].tolist(), seeds[len(samples)]))
    fitted = fit(members, pipeline.cfg.trainer, directory=directory)
    risks = np.stack([result.predictor().predict(pipeline.raw[rows]) for result in fitted])  # (1 + B, N)
    counts = np.stack([np.bincount(drawn, minlength=len(rows)) for drawn in samples]).astype(float)
    summary, table = instability(risks[0], risks[1:], threshold)
    blocks = {
        "optimism": optimism(labels, risks[0], risks[1:], counts),
        "instability": summary,
        "table": table,
    }
    return blocks, risks[0], risks[1:]
