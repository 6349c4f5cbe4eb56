"""Random-effects meta-analysis of a score over centers (Debray et al., BMJ 2017;356:i6460)."""

import numpy as np
from scipy import stats

from hemexp.evaluation.metrics import CONFIDENCE
from hemexp.files.result import CenterValidation, Heterogeneity
from hemexp.types import Array

_LARGE = 0.5  # share of the variance that is between centers; 0.5 is moderate (Higgins et al., BMJ 2003;327:557)
_LEVEL_OF_Q = 0.1


def pool_centers(values: Array, variances: Array) -> Heterogeneity | None:
    """Return the mean score over centers, and the interval in which the score of a new center is expected.

    The variance between centers is the estimate of Paule and Mandel (1982). The interval of the mean is that of Hartung
    and Knapp (2001), and not narrower than that of a fixed effect. The prediction interval is
    ``mean ± t(k - 2) sqrt(variance between + squared error of the mean)`` for k centers (Higgins et al., Journal of the
    Royal Statistical Society A 2009;172:137-159). R's metafor computes the same with ``method="PM", test="adhoc"``.

    Args:
        values: a score of each center on a scale without limits, such as the logit of the AUROC; NaN where unknown.
        variances: their sampling variances.

    Shape:
        values, variances: (C,).

    Returns:
        None with fewer than three centers, which have no prediction interval.
    """
    from statsmodels.stats.meta_analysis import combine_effects

    known = np.isfinite(values) & np.isfinite(variances) & (variances > 0)
    number = int(known.sum())
    if number < 3:
        return None
    with np.errstate(divide="ignore"):  # equal values: the iteration begins at 0
        pooled = combine_effects(values[known], variances[known], method_re="iterated", use_t=True, atol=1e-10)
    mean, between = float(pooled.mean_effect_re), max(0.0, float(pooled.tau2))
    tail = (1 + CONFIDENCE) / 2
    half = float(stats.t.ppf(tail, number - 1) * max(pooled.sd_eff_w_re_hksj, pooled.sd_eff_w_re))
    spread = float(stats.t.ppf(tail, number - 2) * np.sqrt(between + pooled.sd_eff_w_re**2))
    return Heterogeneity(
        num_centers=number,
        mean=mean,
        low=mean - half,
        high=mean + half,
        predicted_low=mean - spread,
        predicted_high=mean + spread,
        between_sd=float(np.sqrt(between)),
        i_squared=max(0.0, 1 - (number - 1) / max(float(pooled.q), 1e-12)),
    )


def list_large(block: CenterValidation) -> list[str]:
    """Return in words the scores that differ between centers by more than chance explains.

    At least half of the variance is between the centers, and Cochran's Q has a p value below 0.1, its usual level,
    divided by the number of scores.
    """
    pooled = {"AUROC": block.auroc, "calibration intercept": block.intercept, "calibration slope": block.slope}
    known = {name: score for name, score in pooled.items() if score is not None}
    return [name for name, score in known.items() if _is_large(score, _LEVEL_OF_Q / len(known))]


def _is_large(score: Heterogeneity, level: float) -> bool:
    freedom = score.num_centers - 1
    q = freedom / max(1 - score.i_squared, 1e-12)
    return score.i_squared >= _LARGE and bool(stats.chi2.sf(q, freedom) < level)
