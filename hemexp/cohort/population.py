"""The simulated population: admission data, the true risk of expansion and the best possible AUROC.

The outcome follows a stated risk function of inputs that every feature group except ``minimal`` holds. So the best
possible AUROC is known, and a model can be compared with the truth. Nothing here is taken from a real patient: means
and standard deviations are round numbers in the range that the stroke literature reports.
"""

from functools import lru_cache

import numpy as np
import pandas as pd
from scipy.optimize import brentq
from scipy.special import expit

from hemexp.config import SyntheticDataConfig
from hemexp.types import Array

RISK_WEIGHTS = {"log_volume": 0.9, "systolic": 0.6, "stroke_history": 0.5, "age": 0.4}  # log odds a standard deviation
LABEL_RULE = (6.0, 0.33, 48.0, "onset")  # label=onset_48h: mL, fraction, hours, clock
_POPULATION_SIZE = 100_000


def draw_patients(data: SyntheticDataConfig, num_patients: int, seed: int) -> tuple[pd.DataFrame, Array]:
    """Draw first scans without follow-up, labels or workbooks, to compare a method with the truth.

    Args:
        data: prevalence and signal.
        num_patients: size of the sample.
        seed: of the draw; `data.seed` is not used.

    Returns:
        The inputs of the risk function and the hours from onset, as columns of the cohort's tables; and each patient's
        true risk (N,).
    """
    patients = draw_admissions(num_patients, np.random.default_rng(seed))
    return patients, true_risk(patients, data)


def draw_admissions(num_patients: int, rng: np.random.Generator) -> pd.DataFrame:
    """Draw volume (10^-3 mL), age, blood pressure, stroke history and hours from onset at the first scan."""
    hours = np.clip(np.round(rng.lognormal(0.8, 0.8, num_patients), 2), 0.25, 20)
    columns = {
        "HM_volume": np.round(1000 * np.clip(rng.lognormal(3.0, 0.8, num_patients), 1, 150)),
        "age": np.clip(np.round(rng.normal(63, 12, num_patients)), 25, 95),
        "systolic": np.clip(np.round(rng.normal(170, 25, num_patients)), 95, 250),
        "stroke_history": (rng.random(num_patients) < 0.2).astype(float),
        "onset_to_first_scan": hours,
    }
    diastolic = 0.4 * columns["systolic"] + rng.normal(27, 10, num_patients)
    columns["diastolic"] = np.clip(np.round(diastolic), 45, 150)
    return pd.DataFrame(columns)


def draw_centers(data: SyntheticDataConfig, num_patients: int) -> tuple[Array, Array, Array]:
    """Draw the center of each patient, and how patients of the centers differ.

    The centers have different sizes. With standard deviations of 0.5 and 0.3 between centers, they differ in the log
    odds of expansion and in the log volume. With one center, nothing differs.

    Args:
        data: number of centers, and the seed.
        num_patients: N.

    Shape:
        Output: (N,) number of the center, (C,) shift of the log odds, and (C,) factor of the volume.
    """
    rng, number = np.random.default_rng([data.seed, 1]), data.num_centers
    shares = rng.dirichlet(np.full(number, 5.0))
    shifts = rng.normal(0, 0.5, number) * (number > 1)
    factors = np.exp(rng.normal(0, 0.3, number) * (number > 1))
    return rng.choice(number, num_patients, p=shares), shifts, factors


def true_risk(patients: pd.DataFrame, data: SyntheticDataConfig, shift: Array | float = 0.0) -> Array:
    """Return each patient's risk of expansion, ``expit(b + signal * sum_k w_k z_k + shift)``.

    ``w`` are the weights `RISK_WEIGHTS`; ``z`` are the standardized log first volume, systolic pressure, previous
    stroke and age; ``b`` gives the population a mean risk of `data.prevalence`.
    """
    intercept, _ = population_parameters(data)
    return np.asarray(expit(intercept + data.signal * _weighted_sum(patients) + shift))


def population_parameters(data: SyntheticDataConfig) -> tuple[float, float]:
    """Return the intercept of the risk that gives the prevalence, and the best possible AUROC, in 100,000 patients."""
    return _population_parameters(data.prevalence, data.signal, data.num_centers, data.seed * (data.num_centers > 1))


@lru_cache
def _population_parameters(prevalence: float, signal: float, num_centers: int, seed: int) -> tuple[float, float]:
    patients, shift = draw_admissions(_POPULATION_SIZE, np.random.default_rng(0)), np.zeros(_POPULATION_SIZE)
    if num_centers > 1:
        data = SyntheticDataConfig("synthetic", num_centers=num_centers, seed=seed, num_patients=num_centers)
        centers, shifts, factors = draw_centers(data, _POPULATION_SIZE)
        patients["HM_volume"], shift = patients["HM_volume"] * factors[centers], shifts[centers]
    linear = signal * _weighted_sum(patients) + shift
    intercept = float(brentq(lambda b: expit(b + linear).mean() - prevalence, -100, 100))
    return intercept, best_possible_auroc(expit(intercept + linear))


def best_possible_auroc(risk: Array) -> float:
    """Return the expected AUROC of the true risk over outcomes drawn from it.

    This is P(risk_i > risk_j) over all pairs, weighted by risk_i (1 - risk_j); ties count half.

    Shape:
        risk: (N,), each in [0, 1].
    """
    _, inverse = np.unique(risk, return_inverse=True)
    positive = np.bincount(inverse, weights=risk)
    negative = np.bincount(inverse, weights=1 - risk)
    below = np.cumsum(negative) - negative
    return float((positive * (below + negative / 2)).sum() / (positive.sum() * negative.sum()))


def _weighted_sum(patients: pd.DataFrame) -> Array:
    """Return the sum of the standardized inputs of the risk, each times its weight."""
    z = {
        "log_volume": (np.log(patients["HM_volume"] / 1000) - 3.0) / 0.8,
        "systolic": (patients["systolic"] - 170) / 25,
        "stroke_history": (patients["stroke_history"] - 0.2) / 0.4,
        "age": (patients["age"] - 63) / 12,
    }
    return np.asarray(sum(weight * z[name] for name, weight in RISK_WEIGHTS.items()))
