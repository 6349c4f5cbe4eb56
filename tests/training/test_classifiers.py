"""The networks as scikit-learn classifiers."""

import pickle
import re
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_predict, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import QuantileTransformer
from sklearn.utils.estimator_checks import parametrize_with_checks
from small import QUIET

import hemexp
from hemexp.commands.train import train
from hemexp.config import MLPConfig, OptimizerConfig, TrainConfig, TrainerConfig
from hemexp.config.compose import load_config
from hemexp.data.datamodule import ExpansionDataModule
from hemexp.data.training_set import build_training_set
from hemexp.training.classifiers import NetworkClassifier
from hemexp.training.fit import fit
from hemexp.training.member import Member
from hemexp.training.progress import report_epochs_to

CLASSIFIERS = {
    "sacnn": hemexp.SACNNClassifier,
    "cnn": hemexp.CNNClassifier,
    "attention": hemexp.AttentionClassifier,
    "mlp": hemexp.MLPClassifier,
}
NOT_OF_THE_CONFIGURATION = {"n_ensemble", "random_state"}


@pytest.fixture(scope="module")
def table() -> tuple[pd.DataFrame, np.ndarray]:
    """Fifty patients, five inputs with gaps, and an outcome that depends on the first input."""
    rng = np.random.default_rng(0)
    values = rng.normal(size=(50, 5)) * [1, 10, 100, 1, 1]
    outcome = np.where(values[:, 0] + 0.5 * rng.normal(size=50) > 0, "grows", "stays")
    values[rng.random(values.shape) < 0.1] = np.nan
    return pd.DataFrame(values, columns=["volume", "age", "pressure", "hours", "score"]), outcome


@parametrize_with_checks([make(max_epochs=30, lr=0.01) for make in CLASSIFIERS.values()])
def test_the_checks_of_scikit_learn_pass(estimator: NetworkClassifier, check: Callable[[NetworkClassifier], None]):
    check(estimator)


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_the_parameters_are_the_keys_of_the_configuration_with_their_defaults(name: str):
    cfg = load_config(TrainConfig, [f"model={name}"])
    expected = vars(cfg.model) | vars(cfg.optimizer) | vars(cfg.trainer)
    for not_a_parameter in ("name", "checkpoint_every", "progress_bar", "profiler", "lightning"):
        del expected[not_a_parameter]
    expected |= {"clip": cfg.features.clip, "val_fraction": cfg.split.val_fraction}
    expected |= {"random_state": cfg.seed, "n_ensemble": 1, "calibrate": cfg.calibrate}
    given = CLASSIFIERS[name]().get_params()
    assert {key: list(value) if isinstance(value, tuple) else value for key, value in given.items()} == expected
    for parameter in given:
        assert re.search(rf"^        {parameter}: \w.*\.$", CLASSIFIERS[name].__doc__ or "", flags=re.MULTILINE)


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("sacnn", {"model.kernel_size": 5, "model.channels": [4, 6], "model.embed_dim": 8}),
        ("mlp", {"model.dropout": 0.2, "optimizer.lr": 0.01, "optimizer.weight_decay": 0.1, "features.clip": 2.0,
                 "split.val_fraction": 0.25, "trainer.patience": 3, "trainer.batch_size": 16}),
    ],
)  # fmt: skip
def test_a_classifier_gives_the_same_bits_as_a_run(name: str, settings: dict[str, Any], tmp_path: Path, undrawn: None):
    settings = {"trainer.max_epochs": 30, **settings}
    overrides = [f"{key}={value}" for key, value in settings.items()]
    cfg = load_config(TrainConfig, [f"model={name}", "data.num_patients=60", "seed=3", *overrides, *QUIET])
    train(cfg, tmp_path / "run")
    data = ExpansionDataModule.from_config(cfg)
    data.setup()
    rows, outcome = sorted(data.fitted_indices), data.labels["expansion"].to_numpy()
    classifier = CLASSIFIERS[name](**{key.partition(".")[2]: value for key, value in settings.items()}, random_state=3)
    risks = classifier.fit(data.raw[rows], outcome[rows]).predict_proba(data.raw)[:, 1]
    predictions = pd.read_csv(tmp_path / "run" / "predictions.csv")
    np.testing.assert_array_equal(risks, predictions["probability"])


def test_an_ensemble_averages_the_networks_of_its_seeds(table: tuple[pd.DataFrame, np.ndarray]):
    X, y = table
    ensemble = hemexp.SACNNClassifier(max_epochs=10, n_ensemble=10, random_state=7).fit(X, y)
    seeds = [7, *np.random.SeedSequence(7).generate_state(9).tolist()]
    singles = [clone(ensemble).set_params(n_ensemble=1, random_state=seed).fit(X, y) for seed in seeds]
    mean = np.mean([single.predict_proba(X)[:, 1] for single in singles], axis=0)
    np.testing.assert_array_equal(ensemble.predict_proba(X)[:, 1], mean)
    assert len(np.unique(mean)) > 1
    assert len({single.predict_proba(X)[0, 1] for single in singles}) == 10


def test_a_classifier_gives_the_same_bits_as_fit(table: tuple[pd.DataFrame, np.ndarray]):
    X, y = table
    raw = X.to_numpy()
    training_set = build_training_set(raw, (y == "stays").astype(int), range(50))
    trainer = TrainerConfig(max_epochs=10, progress_bar=False)
    (result,) = fit([Member(MLPConfig("mlp"), OptimizerConfig(), training_set)], trainer)
    classifier = hemexp.MLPClassifier(max_epochs=10).fit(raw, y)
    assert classifier.classes_.tolist() == ["grows", "stays"]
    np.testing.assert_array_equal(classifier.predict_proba(raw)[:, 1], result.predictor().predict(raw))
    pd.testing.assert_frame_equal(classifier.result_.history, result.history)


def test_predict_names_the_class_with_the_higher_probability(table: tuple[pd.DataFrame, np.ndarray]):
    X, y = table
    classifier = hemexp.MLPClassifier(max_epochs=100, lr=0.01).fit(X, y)
    assert classifier.score(X, y) > 0.9
    expected = np.where(classifier.predict_proba(X)[:, 0] >= 0.5, "grows", "stays")
    assert classifier.predict(X).tolist() == expected.tolist()


def test_a_table_with_gaps_and_names_is_understood(table: tuple[pd.DataFrame, np.ndarray]):
    X, y = table
    X = X.assign(age=X["age"].round().astype("Int64"), empty=np.nan, treated=X["score"] > 0)
    assert X["age"].isna().any()
    classifier = hemexp.MLPClassifier(max_epochs=10).fit(X, y)
    assert classifier.feature_names_in_.tolist() == [*table[0].columns, "empty", "treated"]
    unknown = pd.DataFrame(np.nan, index=[0], columns=X.columns)
    assert np.isfinite(classifier.predict_proba(unknown)).all()
    with pytest.raises(ValueError, match="feature names should match"):
        classifier.predict_proba(X[X.columns[::-1]])


@pytest.mark.parametrize("value", [np.inf, -np.inf, 1e39])
def test_infinity_is_refused_in_fit_and_in_prediction(value: float, table: tuple[pd.DataFrame, np.ndarray]):
    X, y = table
    infinite = X.to_numpy(copy=True)
    infinite[3, 1] = value
    with pytest.raises(ValueError, match=r"Input X contains .*too large for dtype"):
        hemexp.MLPClassifier(max_epochs=2).fit(infinite, y)
    with pytest.raises(ValueError, match=r"Input X contains .*too large for dtype"):
        hemexp.MLPClassifier(max_epochs=2).fit(X.to_numpy(), y).predict_proba(infinite)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"kernel_size": 4}, "kernel_size=4: must be odd"),
        ({"num_heads": 3}, "num_heads=3: must divide embed_dim=16"),
        ({"channels": (16,)}, "channels=[16]: must be two numbers, one for each convolution"),
        ({"max_epochs": 0}, "max_epochs=0: must be at least 1 epochs"),
        ({"max_epochs": 2.5}, "max_epochs: Value '2.5' of type 'float' could not be converted to Integer"),
        ({"batch_size": 0}, "batch_size=0: must be at least 1 or None"),
        ({"lr": "fast"}, "lr: Value 'fast' of type 'str' could not be converted to Float"),
        ({"lr": None}, "lr: Incompatible value 'None' for field of type 'float'"),
        ({"clip": 0}, "clip=0.0: must be 0.1 to 1000000 SD"),
        ({"val_fraction": 1.0}, "val_fraction=1.0: must be at least 0 and below 1"),
        ({"val_fraction": 0.01}, "val_fraction: 50 patients, 25 with expansion, cannot be divided; rule: "),
        ({"accelerator": "tpu"}, "accelerator=tpu: must be cpu, gpu, cuda, mps or auto"),
        ({"n_ensemble": 0}, "n_ensemble == 0, must be >= 1."),
        ({"calibrate": "isotonic"}, "calibrate=isotonic: must be none or logistic"),
        ({"random_state": -1}, "Seed must be between 0 and 2**32 - 1"),
        ({"lr": 1e30, "max_epochs": 5}, "lr=1e+30: the training loss is NaN or infinite; choose a lower rate"),
    ],
    ids=str,
)  # fmt: skip
def test_a_wrong_parameter_is_refused_with_its_rule(
    parameters: dict[str, Any], message: str, table: tuple[pd.DataFrame, np.ndarray]
):
    y = np.arange(50) % 2
    with pytest.raises(ValueError, match=re.escape(message)):
        hemexp.SACNNClassifier(**parameters).fit(table[0], y)


def test_one_class_and_weights_of_samples_are_refused(table: tuple[pd.DataFrame, np.ndarray]):
    X, y = table
    with pytest.raises(ValueError, match="y holds 1 class: stays; rule: samples of two classes"):
        hemexp.MLPClassifier().fit(X, ["stays"] * 50)
    with pytest.raises(TypeError, match="sample_weight"):
        hemexp.MLPClassifier().fit(X, y, sample_weight=np.ones(50))
    with pytest.raises(NotFittedError):
        hemexp.MLPClassifier().predict(X)


@pytest.mark.parametrize(("precision", "tolerance"), [(32, 1e-6), (64, 1e-12)])
@pytest.mark.parametrize("name", CLASSIFIERS)
def test_a_probability_does_not_depend_on_the_other_patients(
    name: str, precision: int, tolerance: float, table: tuple[pd.DataFrame, np.ndarray]
):
    X, y = table
    classifier = CLASSIFIERS[name](max_epochs=30, lr=0.01, precision=precision, n_ensemble=2).fit(X, y)
    together = classifier.predict_proba(X)
    one_by_one = np.concatenate([classifier.predict_proba(X.iloc[[row]]) for row in range(len(X))])
    np.testing.assert_allclose(one_by_one, together, rtol=0, atol=tolerance)


def test_the_random_state_decides_the_fit_and_no_global_generator_changes(table: tuple[pd.DataFrame, np.ndarray]):
    X, y = table
    states = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002 - the state that others use
    fits = [hemexp.MLPClassifier(max_epochs=2, random_state=np.random.RandomState(5)).fit(X, y) for _ in range(2)]
    np.testing.assert_array_equal(fits[0].predict_proba(X), fits[1].predict_proba(X))
    other = hemexp.MLPClassifier(max_epochs=2, random_state=np.int64(6)).fit(X, y)
    assert (other.predict_proba(X) != fits[0].predict_proba(X)).any()
    assert torch.equal(torch.get_rng_state(), states[0])
    np.testing.assert_array_equal(np.random.get_state()[1], states[1])  # noqa: NPY002 - as above


def test_ctrl_c_ends_a_cross_validation(table: tuple[pd.DataFrame, np.ndarray]):
    calls: list[int] = []

    def interrupt(epochs: int) -> None:
        calls.append(epochs)
        if epochs:
            signal.raise_signal(signal.SIGINT)

    with report_epochs_to(interrupt), pytest.raises(KeyboardInterrupt):
        cross_val_score(hemexp.MLPClassifier(stop_loss=None), *table)
    assert calls == [0, 1]


def test_threads_and_pickles_give_the_same_probabilities(table: tuple[pd.DataFrame, np.ndarray]):
    X, y = table
    classifier = hemexp.SACNNClassifier(max_epochs=5)
    expected = cross_val_predict(classifier, X, y, cv=10, method="predict_proba")
    with joblib.parallel_config("threading"):
        parallel = cross_val_predict(classifier, X, y, cv=10, method="predict_proba", n_jobs=4)
    np.testing.assert_array_equal(parallel, expected)
    fitted = classifier.fit(X, y)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(fitted)).predict_proba(X), fitted.predict_proba(X))


def test_pipelines_and_calibration_work(table: tuple[pd.DataFrame, np.ndarray]):
    X, y = table
    classifier = hemexp.MLPClassifier(max_epochs=60, lr=0.01, n_ensemble=2)
    pipeline = make_pipeline(QuantileTransformer(n_quantiles=20), classifier)
    assert cross_val_score(pipeline, X, y, scoring="roc_auc").mean() > 0.7
    calibrated = CalibratedClassifierCV(classifier, cv=3).fit(X, y)
    assert calibrated.score(X, y) > 0.8


@pytest.mark.slow
def test_a_grid_search_in_two_processes_gives_the_scores_of_one(table: tuple[pd.DataFrame, np.ndarray]):
    X, y = table
    grid = {"kernel_size": np.array([3, 5]), "channels": [(4, 6)], "lr": np.logspace(-3, -2, 2)}
    searches = [
        GridSearchCV(hemexp.SACNNClassifier(max_epochs=5), grid, scoring="neg_brier_score", cv=3, n_jobs=n_jobs)
        for n_jobs in (None, 2)
    ]
    scores = [search.fit(X, y == "stays").cv_results_["mean_test_score"] for search in searches]
    np.testing.assert_array_equal(scores[0], scores[1])
    assert np.isfinite(scores[0]).all()
    assert len(set(scores[0])) == 4
