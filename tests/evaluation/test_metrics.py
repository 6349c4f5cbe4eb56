import numpy as np
import pytest
import torch
from scipy.special import expit
from sklearn import metrics as sk
from torchmetrics.functional.classification import binary_auroc

from hemexp.evaluation.metrics import auprc_by_chance, auroc_interval, score_predictions
from hemexp.files.result import Score
from hemexp.metrics.functions import auroc, average_precision
from hemexp.metrics.table import METRICS


def draw(n: int = 60, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    y = (rng.random(n) < 0.3).astype(float)
    return y, np.round(np.clip(0.3 * y + rng.random(n) * 0.7, 0, 1), 2)  # rounding makes ties


def test_scores_agree_with_scikit_learn_and_torchmetrics():
    y, p = draw()
    scores = {key: score.value for key, score in score_predictions(y, p, majority=0).items()}
    assert scores["test/auroc"] == pytest.approx(sk.roc_auc_score(y, p))
    assert scores["test/auroc"] == pytest.approx(float(binary_auroc(torch.tensor(p), torch.tensor(y).long())))
    assert scores["test/auprc"] == pytest.approx(sk.average_precision_score(y, p))
    assert scores["test/brier"] == pytest.approx(sk.brier_score_loss(y, p))
    assert scores["test/log_loss"] == pytest.approx(sk.log_loss(y, p))
    assert scores["test/accuracy"] == pytest.approx(sk.accuracy_score(y, p > 0.5))
    assert scores["test/majority_accuracy"] == pytest.approx(1 - y.mean())


def test_weights_give_the_scores_of_the_bootstrap_sample():
    y, p = draw()
    rows = np.random.default_rng(1).integers(0, len(y), len(y))
    weights = np.bincount(rows, minlength=len(y)).astype(float)[None]
    assert auroc(y, p, weights)[0] == pytest.approx(sk.roc_auc_score(y[rows], p[rows]))
    assert average_precision(y, p, weights)[0] == pytest.approx(sk.average_precision_score(y[rows], p[rows]))


def test_the_papers_39_of_40_has_its_exact_interval():
    y = np.array([1.0] * 11 + [0.0] * 29)
    p = np.where(y == 1, 0.9, 0.1)
    p[0] = 0.2
    score = score_predictions(y, p, majority=0)["test/accuracy"]
    assert score.value == pytest.approx(0.975)
    assert score.low == pytest.approx(0.868, abs=5e-4)
    assert score.high == pytest.approx(0.999, abs=5e-4)


def test_intervals_contain_the_value_and_a_perfect_score_has_an_interval():
    y, p = draw()
    for score in score_predictions(y, p, majority=0).values():
        assert score.low <= score.value <= score.high
    perfect = score_predictions(y, y, majority=0)["test/auroc"]
    assert perfect.value == 1.0
    assert 0.8 < perfect.low < 1.0
    assert perfect.high == 1.0
    low, high = auroc_interval(0.0, 10, 30)
    assert low == 0.0
    assert 0 < high < 0.3


def test_the_auroc_interval_is_symmetric_around_one_half():
    low, high = auroc_interval(0.7, 12, 30)
    assert auroc_interval(0.3, 12, 30) == pytest.approx((1 - high, 1 - low))


def test_undefined_scores_are_none():
    one_class = score_predictions(np.zeros(5), np.linspace(0, 1, 5), majority=0)
    assert one_class["test/auroc"] == one_class["test/auprc"] == Score()
    assert one_class["test/brier"].value is not None
    no_patients = score_predictions(np.zeros(0), np.zeros(0), majority=0)
    assert all(score.value is None for score in no_patients.values())


def test_the_auprc_of_random_rankings_agrees_with_the_formula():
    rng = np.random.default_rng(0)
    for events, patients in ((4, 20), (11, 40), (1, 2), (3, 3)):
        y = np.arange(patients) < events
        simulated = [sk.average_precision_score(y, rng.random(patients)) for _ in range(500)]
        assert auprc_by_chance(events, patients) == pytest.approx(np.mean(simulated), abs=0.02)
    assert np.isnan(auprc_by_chance(0, 5))


def test_a_score_without_variation_has_no_interval_but_constant_risks_have_one():
    single = score_predictions(np.ones(1), np.array([0.9]), majority=1)["test/brier"]
    assert single == Score(value=pytest.approx(0.01))
    ranked = score_predictions(np.array([1.0, 0, 0, 0]), np.array([0.9, 0.2, 0.2, 0.1]), majority=0)["test/auprc"]
    assert ranked == Score(value=1.0)
    y = np.array([1.0] * 11 + [0.0] * 29)
    same = score_predictions(y, np.full(40, 0.275), majority=0)  # the share of events varies between samples
    assert same["test/brier"].high - same["test/brier"].low > 0.05


@pytest.mark.slow
@pytest.mark.parametrize("sharpness", [1.0, 2.0])
def test_the_bootstrap_intervals_cover_the_truth(sharpness: float):
    """40 patients as in the test part of the paper; correct risks and too extreme risks."""
    rng = np.random.default_rng(0)
    logits = rng.normal(-1.3, 1.0, 200_000)
    y, p = (rng.random(len(logits)) < expit(logits)).astype(float), expit(sharpness * logits)
    truth = {name: METRICS[name].compute(y, p) for name in ("auprc", "brier", "log_loss")}
    hits = dict.fromkeys(truth, 0)
    for _ in range(400):
        z = rng.choice(logits, 40)
        y = (rng.random(40) < expit(z)).astype(float)
        for name, score in score_predictions(y, expit(sharpness * z), majority=0, prefix="").items():
            if name in hits and score.low is not None:
                hits[name] += score.low <= truth[name] <= score.high
    assert min(hits.values()) >= 0.88 * 400, hits


@pytest.mark.slow
def test_the_auroc_interval_covers_the_truth():
    """11 events and 29 non-events as in the test part of the paper; binormal scores."""
    from scipy.stats import norm

    rng = np.random.default_rng(0)
    for truth in (0.5, 0.7, 0.9):
        shift = np.sqrt(2) * norm.ppf(truth)
        covered = 0
        for _ in range(2000):
            y = np.array([1.0] * 11 + [0.0] * 29)
            p = norm.cdf(rng.normal(shift * y, 1))
            low, high = auroc_interval(sk.roc_auc_score(y, p), 11, 29)
            covered += low <= truth <= high
        assert 0.93 <= covered / 2000 <= 0.98
