"""Ensembles and recalibration: what they are made of, and that nothing leaks into them."""

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.special import expit, logit
from sklearn.calibration import _SigmoidCalibration
from sklearn.model_selection import StratifiedKFold
from test_loop import Make

from hemexp.config import FirthConfig, LogisticConfig, MLPConfig, OptimizerConfig
from hemexp.data.split import draw_validation
from hemexp.data.training_set import build_training_set
from hemexp.errors import UserError
from hemexp.models.ensemble import fit_recalibration, recalibrate
from hemexp.models.predictor import load_predictor, save_predictor
from hemexp.training.composite import expand
from hemexp.training.fit import fit
from hemexp.training.member import Member

SEEDS = [5, *np.random.SeedSequence(5).generate_state(2).tolist()]


@pytest.fixture
def table() -> tuple[np.ndarray, np.ndarray]:
    """60 patients with 6 inputs and gaps."""
    rng = np.random.default_rng(1)
    raw = rng.normal(size=(60, 6))
    labels = (raw[:, 0] + rng.normal(size=60) > 0.4).astype(float)
    raw[rng.random(raw.shape) < 0.1] = np.nan
    return raw, labels


def composite(table: Any, rows: Any = range(40), **options: Any) -> Member:
    raw, labels = table
    train, val = draw_validation(labels, rows, 0.25, 5)
    training_set = build_training_set(raw, labels, train, val)
    return Member(MLPConfig("mlp", hidden_dim=6), OptimizerConfig(0.02), training_set, 5, val_fraction=0.25, **options)


def single(table: Any, rows: Any, seed: int) -> Member:
    raw, labels = table
    train, val = draw_validation(labels, rows, 0.25, seed)
    training_set = build_training_set(raw, labels, train, val)
    return Member(MLPConfig("mlp", hidden_dim=6), OptimizerConfig(0.02), training_set, seed)


def test_an_ensemble_is_the_mean_of_networks_with_their_own_seeds_and_validation_patients(
    table: Any, trainer: Callable
):
    cfg = trainer(max_epochs=30, patience=4)
    (ensemble,) = fit([composite(table, ensemble=3, keep_last=True)], cfg)
    singles = [fit([single(table, range(40), seed)], cfg)[0] for seed in SEEDS]
    mean = np.mean([result.predictor().predict(table[0]) for result in singles], axis=0)
    assert ensemble.predictor().predict(table[0]).tolist() == mean.tolist()
    assert len({tuple(result.predictor().predict(table[0])) for result in singles}) == 3
    assert ensemble.epochs == len(ensemble.history) == max(result.epochs for result in singles)
    assert ensemble.history["val/loss"][0] == pytest.approx(np.mean([each.history["val/loss"][0] for each in singles]))
    assert ensemble.last is not None


def test_recalibration_uses_risks_of_folds_that_are_imputed_and_trained_anew(table: Any, trainer: Callable):
    cfg, (raw, labels) = trainer(max_epochs=20), table
    (result,) = fit([composite(table, ensemble=3, calibrate="logistic")], cfg)
    risks, rows = np.full(40, np.nan), np.arange(40)
    for train, test in StratifiedKFold(5, shuffle=True, random_state=5).split(rows, labels[:40]):
        fitted = [fit([single(table, train, seed)], cfg)[0].predictor() for seed in SEEDS]
        risks[test] = np.mean([predictor.predict(raw[test]) for predictor in fitted], axis=0)
    plain = fit([composite(table, ensemble=3)], cfg)[0].predictor().predict(raw)
    expected = recalibrate(plain, fit_recalibration(risks, labels[:40]))
    np.testing.assert_allclose(result.predictor().predict(raw), expected, rtol=0, atol=1e-9)


def test_patients_outside_of_the_training_part_do_not_matter(table: Any, trainer: Callable):
    raw, labels = (part.copy() for part in table)
    raw[40:], labels[40:] = 1e6, 1 - labels[40:]
    before, after = (
        fit([composite(data, ensemble=2, calibrate="logistic")], trainer())[0] for data in (table, (raw, labels))
    )
    assert before.predictor().predict(table[0]).tolist() == after.predictor().predict(table[0]).tolist()


def test_the_copies_of_a_bootstrap_sample_stay_together(table: Any):
    rows = np.repeat(np.arange(20), 2)
    for part in expand(composite(table, rows, ensemble=2, calibrate="logistic")):
        drawn = part.training_set
        assert drawn.pool is not None
        count = len(drawn.labels) + len(drawn.val_labels)
        assert count == len(drawn.pool.rows) == 2 * len(drawn.pool.raw)
        assert len(drawn.val_labels) % 2 == 0


def test_recalibration_is_platts_and_never_reverses_the_ranking():
    rng = np.random.default_rng(0)
    risks = rng.uniform(0.02, 0.98, 200)
    labels = (rng.uniform(size=200) < expit(-0.7 + 0.4 * logit(risks))).astype(int)
    intercept, slope = fit_recalibration(risks, labels)
    oracle = _SigmoidCalibration().fit(logit(risks), labels)
    assert (intercept, slope) == pytest.approx((-oracle.b_, -oracle.a_), rel=1e-3)
    assert (intercept, slope) == pytest.approx((-0.7, 0.4), abs=0.5)
    separated = fit_recalibration(labels * 0.8 + 0.1, labels)
    assert 0 < separated[1] < 10
    intercept, slope = fit_recalibration(1 - risks, (risks > 0.5).astype(int))
    assert slope == 0
    assert expit(intercept) == pytest.approx((risks > 0.5).mean(), abs=0.01)


@pytest.mark.parametrize("model", [LogisticConfig("logistic", C=1.0), FirthConfig("firth")])
def test_other_models_are_recalibrated_too(model: Any, table: Any, trainer: Callable, tmp_path: Path):
    training_set = build_training_set(*table, range(40))
    member = Member(model, OptimizerConfig(), training_set, calibrate="logistic")
    (plain,), (result,) = fit([replace(member, calibrate="none")], trainer()), fit([member], trainer())
    risks, before = result.predictor().predict(table[0]), plain.predictor().predict(table[0])
    assert (np.argsort(risks) == np.argsort(before)).all()
    assert len(np.unique(risks)) > 1
    save_predictor(result.predictor(), tmp_path / "best.ckpt")
    assert load_predictor(tmp_path / "best.ckpt").predict(table[0]).tolist() == risks.tolist()


def test_too_few_patients_of_an_outcome_are_refused(table: Any):
    raw, labels = table
    labels[1:40], labels[0] = 0, 1
    training_set = build_training_set(raw, labels, range(40))
    member = Member(MLPConfig("mlp"), OptimizerConfig(), training_set, calibrate="logistic")
    with pytest.raises(UserError, match="calibrate=logistic: 1 patients of an outcome; rule: at least 2 of each"):
        expand(member)


def test_composite_members_are_trained_beside_single_ones_and_continue_from_their_states(
    table: Any, members: Make, trainer: Callable, tmp_path: Path
):
    group = [composite(table, ensemble=2), *members([1, 2]), composite(table, calibrate="logistic")]
    alone = [fit([member], trainer())[0] for member in group]
    for _ in range(2):
        together = fit(group, trainer(), directory=tmp_path)
        for one, two in zip(alone, together, strict=True):
            assert one.predictor().predict(np.zeros((1, len(one.content["features"])))) == two.predictor().predict(
                np.zeros((1, len(two.content["features"])))
            )
    assert all(a.name < b.name for a, b in pairwise(sorted(tmp_path.glob("*.ckpt"))))
