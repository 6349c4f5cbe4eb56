"""Classifiers with scikit-learn's interface from outside of the package."""

from typing import Any

import numpy as np
import pytest
import torch
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.svm import SVC, LinearSVC

from hemexp.config import CustomConfig
from hemexp.config.plugins import check_trust
from hemexp.data.training_set import build_training_set
from hemexp.errors import UserError
from hemexp.models.external import ExternalEstimator
from hemexp.models.fitted_estimator import fit_estimator
from hemexp.models.predictor import build_predictor, load_predictor, save_predictor


class Settings:
    """The section of a plugin."""

    name = "own"

    def __init__(self, classifier: Any) -> None:
        self.build = lambda num_features: classifier


@pytest.fixture
def patients() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    inputs = rng.normal(size=(60, 4))
    return inputs, (inputs[:, 0] + rng.normal(size=60) > 0).astype(int)


@pytest.mark.parametrize(
    "classifier",
    [RandomForestClassifier(5), CalibratedClassifierCV(SVC(), ensemble=False)],
    ids=["forest", "calibrated SVC"],
)
def test_a_classifier_has_its_own_probabilities_and_is_restored_from_plain_bytes(classifier: Any, patients: Any):
    inputs, labels = patients
    fitted = ExternalEstimator(seed=3, settings=Settings(classifier)).fit(inputs, labels)
    assert fitted.risk(inputs) == pytest.approx(classifier.predict_proba(inputs)[:, 1])
    content = fitted.content()
    assert content["skops"].dtype == torch.uint8
    restored = ExternalEstimator(settings=Settings(None)).restore(content)
    assert restored.risk(inputs).tolist() == fitted.risk(inputs).tolist()
    assert torch.equal(restored.content()["skops"], content["skops"])


def test_the_seed_reaches_every_random_state_that_is_not_set(patients: Any):
    forest = RandomForestClassifier(5)
    ExternalEstimator(seed=7, settings=Settings(CalibratedClassifierCV(forest))).fit(*patients)
    assert forest.random_state == 7
    own = RandomForestClassifier(5, random_state=1)
    ExternalEstimator(seed=7, settings=Settings(own)).fit(*patients)
    assert own.random_state == 1


def test_a_classifier_without_probabilities_is_refused(patients: Any):
    with pytest.raises(UserError, match=r"model=own: LinearSVC has no predict_proba; rule: .*CalibratedClassifierCV"):
        ExternalEstimator(settings=Settings(LinearSVC())).fit(*patients)
    with pytest.raises(UserError, match="model=own: int has no method fit"):
        ExternalEstimator(settings=Settings(3)).fit(*patients)


class Moody(RandomForestClassifier):
    """A classifier of the user; its errors are the user's."""

    def predict_proba(self, X: np.ndarray) -> np.ndarray:
        raise ZeroDivisionError("no mood")


def test_an_error_of_the_classifier_is_named_and_its_class_needs_trust(patients: Any):
    fitted = ExternalEstimator(settings=Settings(Moody(3))).fit(*patients)
    with pytest.raises(UserError, match="model=own: ZeroDivisionError: no mood"):
        fitted.risk(patients[0])
    with pytest.raises(UserError, match=r"model=own needs .*Moody, .* add plugins=\[\w+\]"):
        ExternalEstimator(settings=Settings(None)).restore(fitted.content())


def test_a_classifier_that_would_call_a_function_of_a_library_is_not_read(patients: Any):
    hostile = make_pipeline(FunctionTransformer(np.full_like, kw_args={"fill_value": 1}), LogisticRegression())
    fitted = ExternalEstimator(settings=Settings(hostile)).fit(*patients)
    with pytest.raises(UserError, match=r"model=own needs numpy\.full_like"):
        ExternalEstimator(settings=Settings(None)).restore(fitted.content())


@pytest.mark.parametrize("name", ["sklearn.pipeline.defaultdict", "sklearn.metrics.accuracy_score", "os.system"])
def test_only_classes_of_scikit_learn_itself_may_be_parts_of_a_classifier(name: str):
    check_trust("sklearn.tree._tree.Tree", "model=own", is_part=True)
    with pytest.raises(UserError, match=f"model=own needs {name}"):
        check_trust(name, "model=own", is_part=True)


def test_a_network_in_an_ensemble_needs_trust_too():
    model = {"name": "custom", "target": "numpy.arange", "args": {}, "init_from": None}
    member = {"model": model, "features": ["a"], "label": {}, "state_dict": {}}
    with pytest.raises(UserError, match=r"needs numpy\.arange, which is not a part of hemexp"):
        build_predictor({"model": model, "features": ["a"], "label": {}, "members": [member], "recalibration": []})


def test_a_classifier_of_scikit_learn_needs_no_plugin_to_predict(patients: Any, tmp_path: Any):
    model = CustomConfig("custom", "sklearn.linear_model.LogisticRegression", {"C": 0.5})
    fitted = fit_estimator(model, build_training_set(*patients, range(40)), seed=0)
    digest = save_predictor(fitted, tmp_path / "best.ckpt")
    assert load_predictor(tmp_path / "best.ckpt").predict(patients[0]).tolist() == fitted.predict(patients[0]).tolist()
    assert save_predictor(fitted, tmp_path / "best.ckpt") == digest
