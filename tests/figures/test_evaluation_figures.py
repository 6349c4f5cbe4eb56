import numpy as np
import pandas as pd
import pytest
from drawing import LABELS, NONE, RISKS, drawn, score
from sklearn.metrics import roc_auc_score

from hemexp.figures import evaluation
from hemexp.figures.style import BASELINE, GREY, MODEL
from hemexp.files.result import Calibration


def test_the_mean_roc_curve_has_the_mean_auroc_of_the_folds_with_both_outcomes():
    folds = np.tile(np.arange(100) % 5, 5)
    table = pd.DataFrame({"model": "sacnn", "repeat": np.repeat(np.arange(5), 100), "fold": folds,
                          "label": np.tile(LABELS, 5), "probability": RISKS.ravel().round(2)})  # fmt: skip
    one_outcome = pd.DataFrame({"model": "sacnn", "repeat": 9, "fold": 0, "label": 0, "probability": [0.1, 0.9]})
    (curve,) = evaluation.mean_roc(pd.concat([table, one_outcome])).values()
    aurocs = [roc_auc_score(fold["label"], fold["probability"]) for _, fold in table.groupby(["repeat", "fold"])]
    assert np.trapezoid(curve, evaluation.RATES) == pytest.approx(np.mean(aurocs), abs=0.01)


def test_the_roc_curve_joins_equal_risks_and_finds_all_at_the_end():
    curve = evaluation.sensitivities(LABELS, np.full(100, 0.2))
    np.testing.assert_allclose(curve, evaluation.RATES)
    perfect = evaluation.sensitivities(LABELS, LABELS.astype(float))
    assert (perfect == 1).all()


def test_the_roc_figure_names_the_model_and_the_best_baseline():
    curves = dict.fromkeys(("sacnn", "prevalence", "volume", "brain", "hours"), evaluation.RATES)
    scores = {name: score(0.5 + 0.02 * place) for place, name in enumerate(curves)}
    scores["brain"] = score(0.7)
    figure = evaluation.roc(curves, scores, "cross-validated")
    drawn(figure)
    named = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    assert named == ["coin, 0.50", "SACNN, 0.50", "BRAIN score, 0.70", "others"]
    colors = [line.get_color() for line in figure.axes[0].lines]
    assert colors == [GREY, MODEL, BASELINE, GREY, GREY]
    assert "SACNN, nan" not in drawn(evaluation.roc({"sacnn": evaluation.RATES}, {"sacnn": score(0.6)}, "test part"))


def calibrated(slope, intercept):
    return Calibration(intercept=intercept, slope=slope, scaled_brier=NONE, mean_risk=0.2, observed=0.2)


def test_calibration_counts_every_patient_once_below_the_curve():
    curve = pd.DataFrame({"risk": [0.1, 0.5], "observed": [0.2, 0.3], "low": [0.1, 0.2], "high": [0.4, np.nan]})
    figure = evaluation.calibration(LABELS, RISKS, curve, calibrated(slope=score(0.4), intercept=NONE))
    text = drawn(figure)
    assert "slope 0.40 (0.30 to 0.50)" in text
    assert "intercept not defined" in text
    (band,) = figure.axes[0].collections
    assert band.get_paths()[0].get_extents().bounds == pytest.approx((0.1, 0.1, 0.0, 0.3))
    heights = [bar.get_height() for bar in figure.axes[1].patches]
    assert sum(heights[:25]) == pytest.approx(-77)
    assert sum(heights[25:]) == pytest.approx(23)


@pytest.mark.parametrize("risk", [[], [0.22, 0.235]])
def test_calibration_has_no_curve_if_all_risks_are_equal(risk):
    curve = pd.DataFrame({"risk": risk, "observed": [0.9, 0.0][: len(risk)]}, dtype=float)
    figure = evaluation.calibration(LABELS, np.full((5, 100), 0.23), curve, None)
    assert "no curve" in drawn(figure)
    assert "Calibration, cross-validated (band" in drawn(figure)
    new = drawn(evaluation.calibration(LABELS, np.full((1, 100), 0.23), curve, None, "new patients"))
    assert "Calibration, new patients (band" in new
    assert "repeats" not in new
    assert figure.axes[0].get_ylim() == (0, 0.4)


def test_a_large_harm_does_not_flatten_the_decision_curve():
    table = pd.DataFrame({"strategy": ["sacnn"] * 2 + ["treat all"] * 2, "threshold": [0.01, 0.6] * 2})
    figure = evaluation.decision_curve(table.assign(net_benefit=[0.2, 0.0, 0.2, -9.0]))
    drawn(figure)
    assert figure.axes[0].get_ylim()[0] == pytest.approx(-0.05)
    assert "Decision curve, new patients" in drawn(
        evaluation.decision_curve(table.assign(net_benefit=0.1), "new patients")
    )
    assert "no decision curve" in drawn(evaluation.decision_curve(table.assign(net_benefit=np.nan)))
