"""The formula in model.json gives the risks of the checkpoint."""

import json
from dataclasses import asdict

import numpy as np
import pytest
from fitted_models import admissions, build, model, patients

from hemexp.data.imputation import Preprocessing, fit_preprocessing
from hemexp.errors import UserError
from hemexp.files.formula import Formula
from hemexp.files.result import parse_file
from hemexp.models.ensemble import FittedEnsemble
from hemexp.models.fitted_estimator import FittedEstimator
from hemexp.models.formula import build_formula

BRAIN_INPUTS = ["HM_volume", "onset_to_first_scan", "stroke_history"]


def fit(name: str, raw: np.ndarray, labels: np.ndarray, clip: float = 3.0) -> FittedEstimator:
    features = BRAIN_INPUTS if name == "brain" else [f"x{i}" for i in range(raw.shape[1])]
    preprocessing, _ = fit_preprocessing(raw, clip)
    fitted = FittedEstimator(vars(model(name)), features, {}, preprocessing, build(name))
    fitted.estimator.fit(fitted.inputs(raw), labels)
    return fitted


def read_back(formula: Formula, tmp_path) -> Formula:
    """Return a formula as a reader of model.json gets it."""
    return parse_file(json.loads(json.dumps(asdict(formula))), tmp_path / "model.json", Formula)


@pytest.mark.parametrize("recalibration", [None, (-0.7, 0.4)])
@pytest.mark.parametrize("name", ["prevalence", "brain", "ridge2", "logistic", "firth"])
def test_a_formula_gives_the_risks_of_the_checkpoint(name, recalibration, tmp_path):
    raw, labels = admissions(120, seed=1) if name == "brain" else patients(120, seed=1)
    fitted = fit(name, raw, labels)
    predictor = FittedEnsemble([fitted], recalibration) if recalibration else fitted
    others, _ = admissions(500, seed=2) if name == "brain" else patients(500, seed=2)
    others[::7, 1] = np.nan
    others[:3] = [[1e9], [-1e9], [0]]
    others[3, :] = np.nan
    formula = read_back(build_formula(predictor), tmp_path)
    risks = [formula.predict(row) for row in others.tolist()]
    np.testing.assert_allclose(risks, predictor.predict(others), rtol=0, atol=1e-9)


def test_an_input_that_is_constant_in_training_and_no_limit_survive_the_file(tmp_path):
    raw, labels = patients(60, seed=3)
    raw[:, 2] = 5.0
    fitted = fit("ridge2", raw, labels)
    fitted.preprocessing = Preprocessing(**{**vars(fitted.preprocessing), "clip": np.inf})
    formula = read_back(build_formula(fitted), tmp_path)
    assert formula.scale[2] is None
    assert formula.clip is None
    raw[:, 2] = 900.0
    np.testing.assert_allclose([formula.predict(row) for row in raw.tolist()], fitted.predict(raw), rtol=0, atol=1e-9)


def test_the_contributions_add_up_to_the_logit_and_are_0_at_the_mean():
    raw, labels = patients(80, seed=4)
    formula = build_formula(FittedEnsemble([fit("ridge2", raw, labels)], (0.3, 0.5)))
    assert formula.contributions(formula.mean) == [0.0] * 4
    logit = np.log(formula.predict(raw[5].tolist()) / (1 - formula.predict(raw[5].tolist())))
    assert sum(formula.contributions(raw[5].tolist())) + 0.3 + 0.5 * formula.intercept == pytest.approx(logit)


@pytest.mark.parametrize("name", ["random_forest", "gradient_boosting"])
def test_trees_and_the_mean_of_several_models_have_no_formula(name):
    raw, labels = patients(60, seed=5)
    assert build_formula(fit(name, raw, labels)) is None
    fitted = fit("ridge2", raw, labels)
    assert build_formula(FittedEnsemble([fitted, fitted])) is None


@pytest.mark.parametrize(
    "change",
    [{"coefficients": [1.0]}, {"kind": "tree"}, {"scale": [0.0]}, {"recalibration": [1.0]}, {"fill": [1.0, 2.0]}],
)
def test_a_formula_whose_lists_do_not_fit_together_is_refused(change):
    whole = {"kind": "logistic", "intercept": 0.0, "coefficients": [], "fill": [], "mean": [], "scale": []}
    Formula(**whole)
    with pytest.raises(UserError, match="formula"):
        Formula(**whole | change)
