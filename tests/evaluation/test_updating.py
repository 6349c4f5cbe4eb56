from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit, logit
from sklearn.linear_model import LogisticRegression

from hemexp.evaluation.calibration import calibration
from hemexp.evaluation.updating import closed_test, fit_update
from hemexp.metrics.functions import auroc, brier

ORACLES = Path(__file__).parents[1] / "oracles"


def read(name):
    """Patients of R's survival 3.5-3 with relapse or death within 5 years (1826.25 days), or followed for as long."""
    table = pd.read_csv(ORACLES / f"{name}.csv")
    inputs = table[["age", "nodes", "grade", "meno"]].assign(nodes=np.log(table["nodes"] + 1)).to_numpy(dtype=float)
    return inputs, table["y"].to_numpy(dtype=float)


@pytest.fixture(scope="module")
def german():
    """The German patients with the risks of a logistic regression that was fitted to those of Rotterdam."""
    inputs, labels = read("rotterdam")
    model = LogisticRegression(C=np.inf, solver="newton-cholesky", tol=1e-10).fit(inputs, labels)
    # R's glm(y ~ age + log(nodes + 1) + grade + meno, binomial)
    expected = [-0.00184343593255, 0.82261162262171, 0.55776205820498, 0.02295013921547]
    assert model.coef_[0] == pytest.approx(expected, abs=1e-7)
    others, outcomes = read("gbsg")
    return others, outcomes, model.predict_proba(others)[:, 1]


def test_the_scores_elsewhere_agree_with_val_prob_of_rms(german):
    _, labels, risks = german
    ones = np.ones((1, len(labels)))
    scores = calibration(labels, risks[None], num_resamples=200)
    found = (auroc(labels, risks, ones)[0], scores.slope.value, brier(labels, risks, ones)[0])
    # C from somers2 of Hmisc; val.prob itself counts some ties in another way (0.69959)
    assert found == pytest.approx((0.699637523561, 1.109836367013, 0.222838790039), abs=1e-6)
    assert scores.intercept.value == pytest.approx(0.869435049501, abs=1e-6)  # glm with an offset
    assert fit_update(labels, risks, "intercept_slope") == pytest.approx((0.882697832568, 1.109836367013), abs=1e-5)


def test_the_closed_test_agrees_with_likelihood_ratios_of_glm(german):
    inputs, labels, risks = german
    chosen = closed_test(labels, risks, inputs)
    assert chosen.method == "intercept"
    assert chosen.recalibration == pytest.approx((0.869435049501, 1.0), abs=1e-6)
    assert list(chosen.p_values) == ["none", "intercept"]
    assert chosen.p_values["none"] == pytest.approx(2.40389371229e-13, rel=1e-4)
    assert chosen.p_values["intercept"] == pytest.approx(0.285685065719, abs=1e-6)


def simulate(intercept, slope, coefficient, num_patients, seed=0):
    """Return inputs, outcomes and the risks of a model whose true coefficients are 1, 1 and 0."""
    rng = np.random.default_rng(seed)
    inputs = rng.normal(size=(num_patients, 3))
    logits = inputs[:, 0] + inputs[:, 1] - 1
    truth = expit(intercept + slope * logits + coefficient * inputs[:, 2])
    return inputs, (rng.random(num_patients) < truth).astype(float), expit(logits)


@pytest.mark.parametrize(
    ("intercept", "slope", "coefficient", "expected"),
    [(0, 1, 0, "none"), (1, 1, 0, "intercept"), (0.5, 0.4, 0, "intercept_slope"), (0, 1, 1, "refit")],
)
def test_the_closed_test_finds_what_changed(intercept, slope, coefficient, expected):
    inputs, labels, risks = simulate(intercept, slope, coefficient, 3000)
    assert closed_test(labels, risks, inputs).method == expected


def test_the_original_model_is_rarely_rejected_where_it_is_right():
    rejected = [closed_test(labels, risks, inputs).method != "none" for inputs, labels, risks in
                (simulate(0, 1, 0, 300, seed) for seed in range(200))]  # fmt: skip
    assert 0.01 < np.mean(rejected) < 0.1


def test_a_model_that_ranks_the_wrong_way_gives_everybody_the_observed_share():
    _, labels, risks = simulate(0, -1, 0, 1000)
    intercept, slope = fit_update(labels, risks, "intercept_slope")
    assert slope == 0
    assert intercept == pytest.approx(logit(labels.mean()))
    assert closed_test(labels, risks).method == "intercept_slope"


def test_a_refit_is_no_choice_where_the_inputs_separate_the_outcomes():
    inputs, labels, risks = simulate(0, 1, 0, 12)
    separating = np.column_stack([inputs, labels])
    assert "refit" not in closed_test(labels, risks, separating).method
    assert closed_test(labels, risks, np.random.default_rng(1).normal(size=(12, 20))).method != "refit"
