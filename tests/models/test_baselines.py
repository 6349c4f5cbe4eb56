import numpy as np
import pytest
from fitted_models import build

from hemexp.config import BaselineConfig
from hemexp.models.baselines import MAX_POINTS, list_missing_items


def test_the_prevalence_is_predicted_without_inputs():
    prevalence = build("prevalence").fit(np.zeros((8, 0)), np.array([1, 0, 0, 0, 1, 0, 0, 0]))
    np.testing.assert_array_equal(prevalence.predict_proba(np.zeros((3, 0))), [[0.75, 0.25]] * 3)


@pytest.mark.parametrize(
    ("volume", "hours", "stroke", "points"),
    [
        (0, 9, 0, 0),
        (10_000, 5.01, 0, 0),  # 10 mL belongs to the lowest class
        (10_001, 5, 0, 5 + 1),
        (20_000, 4, 0, 5 + 2),
        (20_001, 3, 0, 7 + 3),
        (90_000, 2, 0, 7 + 4),
        (90_000, 1, 1, 7 + 5 + 4),
        (5_000, 0.2, 0.4, 5),
        (5_000, 1.01, 1, 4 + 4),
    ],
)
def test_brain_adds_the_published_points(volume, hours, stroke, points):
    brain = build("brain").fit(np.zeros((0, 3)), np.zeros(0))
    assert brain.takes_raw_inputs
    assert brain.points(np.array([[volume, hours, stroke]], dtype=float)) == [points]


def test_brain_uses_the_items_that_it_has_and_says_which_ones_are_missing():
    brain = build("brain")
    brain.features = ("HM_volume", "anticoagulation", "ventricular_blood")
    assert brain.points(np.array([[30_000.0, 1, 1], [30_000, 0, 1], [5_000, 1, 0]])).tolist() == [15, 9, 6]
    assert list_missing_items(brain.features) == {"stroke_history": 4, "onset_to_first_scan": 5}
    assert list_missing_items(BaselineConfig.INPUTS["brain"]) == {"warfarin": 6, "ventricular_blood": 2}
    assert sum(list_missing_items(()).values()) == MAX_POINTS


def test_brain_returns_the_published_risks_and_interpolates_between_them():
    brain = build("brain")
    lowest = brain.risk(np.array([[1_000.0, 9, 0]]))[0]
    assert lowest == pytest.approx(0.034)
    brain.points = lambda X: np.full(len(X), 24)
    assert brain.risk(np.zeros((1, 3)))[0] == pytest.approx(0.858)
    brain.points = lambda X: np.full(len(X), 12)  # the middle on the logit scale
    odds = np.sqrt(0.034 / 0.966 * 0.858 / 0.142)
    assert brain.risk(np.zeros((1, 3)))[0] == pytest.approx(odds / (1 + odds))
