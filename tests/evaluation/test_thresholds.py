import numpy as np
import pytest

from hemexp.evaluation.decision import choose_thresholds, score_thresholds
from hemexp.evaluation.metrics import proportion
from hemexp.files.result import Score


def test_thresholds_agree_with_an_example_computed_by_hand():
    labels = np.array([0, 0, 0, 0, 0, 0, 1, 0, 1, 1])
    risks = np.array([[0.1, 0.1, 0.2, 0.2, 0.3, 0.3, 0.3, 0.6, 0.7, 0.8]])
    chosen = choose_thresholds(labels, risks)
    # at 0.7: 2/3 + 7/7 - 1 = 0.67; at 0.3: 3/3 + 4/7 - 1 = 0.57
    assert chosen == {"fixed 0.5": 0.5, "youden": 0.7, "sensitivity 0.9": 0.3}
    row = score_thresholds(chosen, labels, risks[0])[1]
    assert (row.rule, row.threshold, row.flagged, row.num_patients) == ("youden", 0.7, 2, 10)
    values = [score.value for score in (row.sensitivity, row.specificity, row.ppv, row.npv)]
    assert values == pytest.approx([2 / 3, 1, 1, 7 / 8])
    assert row.npv == proportion(np.arange(8) < 7)


def test_thresholds_are_best_on_average_over_repeats():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 40)
    risks = np.round(0.2 * labels + 0.8 * rng.random((5, 40)), 2)
    chosen = choose_thresholds(labels, risks)

    def rates(threshold: float) -> tuple[float, float]:
        flagged = risks >= threshold
        return flagged[:, labels == 1].mean(1).mean(), (~flagged[:, labels == 0]).mean(1).mean()

    candidates = np.unique(risks)
    assert sum(rates(chosen["youden"])) == pytest.approx(max(sum(rates(t)) for t in candidates))
    assert chosen["sensitivity 0.9"] == max(t for t in candidates if rates(t)[0] >= 0.9)


def test_constant_risks_flag_all_patients_and_one_outcome_leaves_only_the_fixed_threshold():
    labels = np.array([0, 1, 0])
    assert choose_thresholds(labels, np.full((2, 3), 0.2)) == {
        "fixed 0.5": 0.5, "youden": 0.2, "sensitivity 0.9": 0.2,
    }  # fmt: skip
    assert choose_thresholds(np.zeros(3), np.full((1, 3), 0.2)) == {"fixed 0.5": 0.5}


def test_a_share_of_zero_patients_is_undefined():
    rows = score_thresholds({"fixed 0.5": 0.5}, np.zeros(3), np.full(3, 0.1))
    assert rows[0].sensitivity == rows[0].ppv == Score()
    assert rows[0].specificity.value == 1
    assert rows[0].specificity.low == pytest.approx(0.025 ** (1 / 3))  # Clopper-Pearson at 3 of 3
    assert score_thresholds({"fixed 0.5": 0.5}, np.zeros(0), np.zeros(0))[0].flagged == 0
