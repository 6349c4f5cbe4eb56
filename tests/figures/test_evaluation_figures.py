import numpy as np
import pandas as pd
import pytest
from drawing import LABELS, NONE, RISKS, drawn, score
from sklearn.metrics import average_precision_score

from hemexp.figures import evaluation
from hemexp.figures.style import NO, YES
from hemexp.files.result import Calibration


def test_the_precision_recall_curve_has_the_printed_area():
    axes = evaluation.precision_recall(LABELS, RISKS[0], score(0.4)).axes[0]
    recall, precision = axes.lines[0].get_data()
    assert np.sum(np.diff(recall) * precision[1:]) == pytest.approx(average_precision_score(LABELS, RISKS[0]))


@pytest.mark.parametrize(
    ("labels", "text"), [(np.zeros(8), "no expansion in"), (np.ones(8), "100 %"), (LABELS[19:27], "50 %")]
)
def test_precision_recall_of_few_and_equal_risks(labels, text):
    assert text in drawn(evaluation.precision_recall(labels, np.full(8, 0.2), NONE))


def calibrated(slope, intercept):
    return Calibration(intercept=intercept, slope=slope, scaled_brier=NONE, mean_risk=0.2, observed=0.2)


def test_calibration_counts_every_patient_once_below_the_curve():
    curve = pd.DataFrame({"risk": [0.1, 0.5], "observed": [0.2, 0.3]})
    figure = evaluation.calibration(LABELS, RISKS, curve, calibrated(slope=score(0.4), intercept=NONE))
    text = drawn(figure)
    assert "slope 0.40 (0.30 to 0.50)" in text
    assert "intercept not defined" in text
    heights = [bar.get_height() for bar in figure.axes[1].patches]
    assert sum(heights[:25]) == pytest.approx(-77)
    assert sum(heights[25:]) == pytest.approx(23)


@pytest.mark.parametrize("risk", [[], [0.22, 0.235]])
def test_calibration_has_no_curve_if_all_risks_are_equal(risk):
    curve = pd.DataFrame({"risk": risk, "observed": [0.9, 0.0][: len(risk)]}, dtype=float)
    figure = evaluation.calibration(LABELS, np.full((5, 100), 0.23), curve, None)
    assert "no curve" in drawn(figure)
    assert figure.axes[0].get_ylim() == (0, 0.4)


def test_a_large_harm_does_not_flatten_the_decision_curve():
    table = pd.DataFrame({"strategy": ["sacnn"] * 2 + ["treat all"] * 2, "threshold": [0.01, 0.6] * 2})
    figure = evaluation.decision_curve(table.assign(net_benefit=[0.2, 0.0, 0.2, -9.0]))
    drawn(figure)
    assert figure.axes[0].get_ylim()[0] == pytest.approx(-0.05)
    assert "no decision curve" in drawn(evaluation.decision_curve(table.assign(net_benefit=np.nan)))


@pytest.mark.parametrize("chosen", [slice(0, 100), slice(20, 28), slice(50, 51)])
@pytest.mark.parametrize("risks", [RISKS, np.full((5, 100), 0.23), np.round(RISKS)])
def test_risks_by_outcome_count_every_risk_and_show_no_single_patient(chosen, risks):
    figure = evaluation.risk_by_outcome(LABELS[chosen], risks[:, chosen], "risk")
    text = drawn(figure)
    assert f"(n = {LABELS[chosen].sum()})" in text
    (axes,) = figure.axes
    assert not axes.collections  # no dots
    medians = {line.get_color(): line.get_xdata()[0] for line in axes.lines if line.get_color() in (NO, YES)}
    expected = {
        color: np.median(risks[:, chosen][:, LABELS[chosen] == outcome])
        for outcome, color in ((0, NO), (1, YES))
        if (LABELS[chosen] == outcome).any()
    }
    assert medians == pytest.approx(expected)
    assert len(axes.patches) == 2
    for outcome, patch in zip((0, 1), axes.patches, strict=True):
        tops, edges, base = patch.get_data()
        counts = np.histogram(risks[:, chosen][:, LABELS[chosen] == outcome], np.linspace(0, axes.get_xlim()[1], 26))[0]
        np.testing.assert_allclose(edges, np.linspace(0, axes.get_xlim()[1], 26))
        assert base == outcome
        np.testing.assert_allclose((tops - base) * counts.sum(), counts * (tops - base).sum(), atol=1e-9)
