import numpy as np
import pytest
from fitted_models import build, patients
from sklearn.ensemble import GradientBoostingClassifier, RandomForestClassifier


def simulated(num, seed):
    raw, labels = patients(num, seed)
    return np.nan_to_num((raw - 50) / 7), labels


def test_the_stored_forest_predicts_like_scikit_learn():
    X, y = simulated(80, 0)
    other = simulated(600, 1)[0]
    ours = build("random_forest", 7, min_samples_leaf=3, max_features=0.5).fit(X, y)
    theirs = RandomForestClassifier(100, min_samples_leaf=3, max_features=0.5, random_state=7).fit(X, y)
    np.testing.assert_allclose(ours.predict_proba(other), theirs.predict_proba(other), rtol=0, atol=1e-12)


@pytest.mark.parametrize("depth", [1, 4])
def test_the_stored_boosting_predicts_like_scikit_learn(depth):
    X, y = simulated(80, 0)
    other = simulated(600, 1)[0]
    ours = build("gradient_boosting", 7, max_depth=depth).fit(X, y)
    theirs = GradientBoostingClassifier(learning_rate=0.1, n_estimators=60, max_depth=depth, random_state=7).fit(X, y)
    np.testing.assert_allclose(ours.predict_proba(other), theirs.predict_proba(other), rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", ["random_forest", "gradient_boosting"])
def test_trees_of_a_single_leaf_predict_the_prevalence(name):
    y = np.arange(20) < 5
    constant = build(name).fit(np.zeros((20, 2)), y.astype(int))
    assert constant.risk(np.ones((3, 2))) == pytest.approx(0.25, abs=0.03)
