import numpy as np
import pytest
from fitted_models import build
from scipy.optimize import minimize
from scipy.special import expit
from sklearn.linear_model import LogisticRegression

from hemexp.errors import UserError


def simulated(num, num_inputs, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(num, num_inputs))
    return X, (rng.random(num) < expit(X[:, 0] - 1)).astype(int)


def test_one_input_is_fitted_without_a_penalty():
    X, y = simulated(80, 1)
    volume = build("volume").fit(X, y)
    best = minimize(lambda b: np.logaddexp(0, (1 - 2 * y) * (b[0] + b[1] * X[:, 0])).sum(), [0, 0], tol=1e-12).x
    np.testing.assert_allclose([volume.intercept, *volume.coefficients], best, atol=1e-4)


def test_perfect_separation_gives_finite_coefficients():
    X, _ = simulated(80, 1)
    hours = build("hours").fit(X, (X[:, 0] > 0).astype(int))
    assert np.isfinite(hours.coefficients).all()
    np.testing.assert_allclose(hours.risk(X), X[:, 0] > 0, atol=0.1)


def test_a_constant_input_gives_the_share_of_events():
    X, y = np.zeros((80, 1)), (np.arange(80) < 20).astype(int)
    hours = build("hours").fit(X, y)  # pytest turns a warning into an error
    np.testing.assert_allclose(hours.risk(X), 0.25, atol=1e-6)


@pytest.mark.parametrize("l1_ratio", [0.0, 0.5, 1.0])
def test_a_given_penalty_gives_the_coefficients_of_scikit_learn(l1_ratio):
    X, y = simulated(80, 5)
    ours = build("logistic", C=0.3, l1_ratio=l1_ratio).fit(X, y)
    theirs = LogisticRegression(C=0.3, l1_ratio=l1_ratio, solver="saga", tol=1e-8, max_iter=100_000).fit(X, y)
    np.testing.assert_allclose(ours.coefficients, theirs.coef_[0], atol=5e-3)
    np.testing.assert_allclose(ours.intercept, theirs.intercept_[0], atol=5e-3)


@pytest.mark.parametrize("l1_ratio", [1.0, None])
def test_cross_validation_shrinks_noise_and_keeps_signal(l1_ratio):
    X, y = simulated(100, 40)
    noise = np.random.default_rng(1).permutation(y)
    assert abs(build("logistic", l1_ratio=l1_ratio).fit(X, noise).coefficients).max() < 0.3
    signal = abs(build("logistic", l1_ratio=l1_ratio).fit(X, y).coefficients)
    assert signal.argmax() == 0
    assert (signal == 0).sum() > 20


def test_a_single_event_gets_a_fixed_penalty():
    X, _ = simulated(20, 3)
    y = np.eye(20, dtype=int)[0]
    ours = build("logistic").fit(X, y)
    np.testing.assert_allclose(ours.coefficients, LogisticRegression(C=0.1).fit(X, y).coef_[0], atol=1e-3)


def test_firth_maximizes_the_penalized_likelihood():
    X, y = simulated(60, 2)
    design = np.column_stack([np.ones(60), X])

    def loss(b):
        p = expit(design @ b)
        return (
            np.logaddexp(0, (1 - 2 * y) * (design @ b)).sum()
            - 0.5 * np.linalg.slogdet(design.T @ (design * (p * (1 - p))[:, None]))[1]
        )

    firth = build("firth").fit(X, y)
    best = minimize(loss, np.zeros(3), tol=1e-10).x
    np.testing.assert_allclose([firth.intercept, *firth.coefficients], best, atol=1e-4)


def test_firth_refuses_too_many_or_dependent_inputs():
    firth = build("firth")
    X, y = simulated(40, 60)
    with pytest.raises(UserError) as error:
        firth.fit(X, y)
    rule = "rule: fewer inputs than patients; use features=minimal"
    assert str(error.value) == f"model=firth: inputs=60, patients=40; {rule}"
    with pytest.raises(
        UserError, match="inputs that vary=3, independent=2; rule: no input may be a linear combination"
    ):
        firth.fit(np.column_stack([X[:, :2], X[:, 0] + X[:, 1]]), y)


def test_copies_of_patients_do_not_weaken_the_penalty():
    """Copies of a patient are in the same inner fold. Otherwise noise would look learnable and be penalized less."""
    X, y = simulated(60, 40)
    noise = np.random.default_rng(3).permutation(y)
    once = build("logistic").fit(X, noise)
    thrice = build("logistic").fit(np.tile(X, (3, 1)), np.tile(noise, 3))
    assert abs(thrice.coefficients).max() < 3 * abs(once.coefficients).max() + 0.05
