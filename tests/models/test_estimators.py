"""Requirements that every estimator must meet."""

import io
import subprocess
import sys

import numpy as np
import pytest
import torch
from fitted_models import PACKAGES, SETTINGS, admissions, model, patients
from sklearn.metrics import roc_auc_score

from hemexp.config import MODELS, BaselineConfig
from hemexp.data.training_set import build_training_set
from hemexp.errors import UserError
from hemexp.models.fitted_estimator import FittedEstimator, fit_estimator
from hemexp.models.registry import build_estimator

ALL = [name for name, entry in MODELS.items() if entry.target and not hasattr(entry.schema, "hidden_dim")]
LEARNING = list(SETTINGS)
NETWORKS = ["tabm", "ft_transformer"]


def fitted(name, num=120, seed=0, fit_seed=0, **settings):
    """Return the model fitted to simulated patients, with suitable inputs."""
    raw, labels = admissions(num, seed) if name == "brain" else patients(num, seed)
    raw = raw[:, : {"prevalence": 0, "volume": 1, "hours": 1, "ridge2": 2}.get(name, 99)]
    names = BaselineConfig.INPUTS["brain"] if name == "brain" else None
    fold = build_training_set(raw, labels, range(num), label={"name": "simulated"}, features=names)
    return fit_estimator(model(name, **settings), fold, fit_seed), raw


def saved_bytes(content):
    file = io.BytesIO()
    torch.save(content, file)
    return file.getvalue()


@pytest.mark.parametrize("name", [*LEARNING, "brain"])
def test_an_easy_problem_is_learned(name):
    predictor, _ = fitted(name)
    raw, labels = admissions(1000, 1) if name == "brain" else patients(500, 1)
    assert roc_auc_score(labels, predictor.predict(raw[:, : len(predictor.features)])) > 0.8


@pytest.mark.parametrize("name", ALL)
def test_a_checkpoint_gives_the_same_predictions_and_a_seed_the_same_bits(name):
    predictor, raw = fitted(name)
    risks = predictor.predict(raw)
    loaded = FittedEstimator.from_content(torch.load(io.BytesIO(saved_bytes(predictor.content())), weights_only=True))
    np.testing.assert_allclose(loaded.predict(raw), risks, rtol=0, atol=1e-12)
    assert (loaded.model, loaded.features, loaded.label) == (predictor.model, predictor.features, predictor.label)
    assert saved_bytes(loaded.content()) == saved_bytes(predictor.content()) == saved_bytes(fitted(name)[0].content())


@pytest.mark.parametrize("name", ["random_forest", "catboost", *NETWORKS])
def test_another_seed_gives_another_fit(name):
    assert (fitted(name, fit_seed=1)[0].predict(patients(9, 1)[0]) != fitted(name)[0].predict(patients(9, 1)[0])).any()


@pytest.mark.parametrize("name", ALL)
def test_a_probability_does_not_depend_on_the_other_patients(name):
    predictor, raw = fitted(name)
    risks = predictor.predict(raw)
    assert risks.shape == (120,)
    assert risks.dtype == np.float64
    assert ((risks >= 0) & (risks <= 1)).all()
    np.testing.assert_allclose([predictor.predict(row[None])[0] for row in raw], risks, rtol=0, atol=1e-9)
    np.testing.assert_allclose(predictor.predict(np.tile(raw, (5, 1)))[::-1][:120], risks[::-1], rtol=0, atol=1e-9)
    assert predictor.predict(raw[:0]).shape == (0,)
    assert predictor.estimator.predict_proba(predictor.inputs(raw[:1])).sum() == 1
    assert predictor.estimator.predict_proba(predictor.inputs(raw[:0])).shape == (0, 2)


@pytest.mark.parametrize("name", ALL)
def test_the_checkpoint_holds_no_values_of_patients(name):
    # thresholds of trees are midpoints between two patients' values; nothing else comes from an input
    predictor, raw = fitted(name)
    file = saved_bytes(predictor.estimator.content())
    known = raw[~np.isnan(raw)]
    for values in (known, predictor.inputs(raw).ravel()):
        patient_values = [value for value in values.tolist() if value not in {0.0, 1.0, 10.0, -10.0}]
        for dtype in ("<f8", ">f8", "<f4", ">f4"):
            matches = [value for value in patient_values if np.array(value, dtype=dtype).tobytes() in file]
            assert len(matches) <= (2 if dtype[1:] == "f4" else 0)  # a weight may equal one of 480 values by chance
        assert not [value for value in patient_values if f"{value:.8g}".encode() in file]


@pytest.mark.parametrize("name", LEARNING)
def test_an_input_that_is_constant_in_training_is_ignored(name):
    raw, labels = patients(60, 0)
    raw = np.column_stack([raw, np.full(60, 3.0)])
    predictor = fit_estimator(model(name), build_training_set(raw, labels, range(60)), 0)
    other = raw.copy()
    other[:, -1] = 1e6
    np.testing.assert_array_equal(predictor.predict(other), predictor.predict(raw))


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("events", [1, 3])
def test_ten_patients_are_enough_to_fit(name, events):
    raw = (admissions if name == "brain" else patients)(10, 3)[0][:, : 1 if name in {"volume", "hours"} else 3]
    names = BaselineConfig.INPUTS["brain"] if name == "brain" else None
    training_set = build_training_set(raw, np.arange(10) < events, range(10), features=names)
    predictor = fit_estimator(model(name), training_set, 0)
    assert np.isfinite(predictor.predict(raw)).all()


@pytest.mark.parametrize("name", LEARNING)
def test_patients_with_a_single_outcome_are_refused(name):
    raw, _ = patients(20, 0)
    with pytest.raises(UserError, match=f"model={name}: events=0 of 20; rule: patients with and without expansion"):
        fit_estimator(model(name), build_training_set(raw, np.zeros(20), range(20)), 0)


@pytest.mark.parametrize("name", ALL)
def test_the_largest_seed_of_a_run_is_accepted(name):
    fitted(name, num=30, fit_seed=2**32 - 1)


@pytest.mark.parametrize("name", PACKAGES)
def test_a_missing_package_is_named_in_the_message(name, monkeypatch):
    settings = model(name)
    monkeypatch.setitem(sys.modules, PACKAGES[name], None)
    extra = "tabular" if name in NETWORKS else "boosting"
    with pytest.raises(UserError) as error:
        build_estimator(0, **vars(settings)).fit(np.eye(4), np.array([0, 1, 0, 1]))
    assert str(error.value) == f'model={name} needs the package {PACKAGES[name]}: pip install "hemexp[{extra}]"'


def test_an_unknown_model_is_refused():
    with pytest.raises(UserError, match=r"model.name=oracle: must be one of prevalence, volume"):
        build_estimator(0, name="oracle")


def test_a_checkpoint_holds_only_tensors_and_numbers():
    predictor, _ = fitted("random_forest")
    content = predictor.estimator.content()
    assert all(isinstance(value, torch.Tensor | int | float) for value in content.values())
    restored = build_estimator(0, **predictor.model).restore(content)
    np.testing.assert_array_equal(restored.risk(np.eye(4)), predictor.estimator.risk(np.eye(4)))


@pytest.mark.slow
def test_packages_of_single_models_are_imported_only_for_them():
    code = "import sys, hemexp.models.fitted_estimator; print([name for name in sys.argv[1:] if name in sys.modules])"
    command = [sys.executable, "-c", code, *PACKAGES.values()]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip() == "[]"
