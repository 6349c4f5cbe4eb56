import numpy as np
import pandas as pd
import pytest
from drawing import LABELS, NONE, RISKS, drawn, score

from hemexp.data.features import GROUPS
from hemexp.figures.evaluation import calibration
from hemexp.figures.run import run_figures
from hemexp.figures.style import change_words, readable, stamp
from hemexp.files.result import Score
from hemexp.formatting import interval_text, score_text


def test_every_input_has_another_name_in_words():
    words = [readable(name) for name in GROUPS["all"]]
    assert len(set(words)) == len(words)
    assert readable("ED_NCCT_original_firstorder_10Percentile") == "edema density 10 percentile"
    assert readable("Hemo_original_shape_Maximum2DDiameterRow") == "hematoma maximum 2D diameter row"
    assert readable("HM_MCA_R_Ratio") == "hematoma MCA right share"


@pytest.mark.parametrize("many", [False, True])
@pytest.mark.parametrize("words", ["expansion", "outcome"])
def test_all_texts_of_the_figures_with_fixed_margins_are_inside_and_apart_from_a_stamp(many: bool, words: str):
    labels, risks = (np.tile(values, 1000 if many else 1) for values in (LABELS, RISKS[0]))
    history = pd.DataFrame({"epoch": range(1000), "train/loss": np.geomspace(12, 0.0002 if many else 0.1, 1000)})
    metrics = {"test/auroc": score(0.6)}
    figures = run_figures(history, 999, labels, risks, metrics, "sacnn")
    assert set(figures) == {"loss", "roc"}
    for name, figure in figures.items():
        change_words(figure, lambda text: text.replace("expansion", words))
        stamp(figure, "verdict: INCOMPLETE: debug")
        figure.draw_without_rendering()
        width, height = figure.get_size_inches()
        (stamped,) = figure.texts
        box = figure.axes[0].get_tightbbox().transformed(figure.dpi_scale_trans.inverted())
        top = stamped.get_window_extent().transformed(figure.dpi_scale_trans.inverted()).y1
        assert 0 <= box.x0 < box.x1 <= width, name
        assert top <= box.y0 < box.y1 <= height, name


def test_the_words_of_a_figure_can_be_changed_for_another_outcome():
    figure = calibration(LABELS, RISKS, pd.DataFrame({"risk": [], "observed": []}), None)
    change_words(figure, lambda text: text.replace("expansion", "death"))
    text = drawn(figure)
    assert "no death" in text
    assert "predicted risk of death" in text
    assert "expansion" not in text


def test_scores_are_printed_with_their_intervals():
    assert interval_text(score(0.57)) == "0.57 (0.47 to 0.67)"
    assert interval_text(Score(value=-0.3, low=-0.5, high=-0.001)) == "-0.30 (-0.50 to 0.00)"
    assert interval_text(Score(value=0.57, high=0.6)) == "0.57 (no interval)"
    assert (
        score_text(Score(value=-0.3, low=-0.5, high=0.1), 1) == "−0.3 (−0.5\N{NO-BREAK SPACE}to\N{NO-BREAK SPACE}0.1)"
    )
    assert interval_text(NONE) == interval_text(None) == "not defined"
