import pytest
from drawing import NONE, drawn, score

from hemexp.figures import forest
from hemexp.figures.style import GREY, MODEL
from hemexp.files.result import ComparedModel, Score, SubgroupScore

MODELS = ["gradient_boosting", "prevalence", "volume", "hours", "brain", "ridge2"]


def compared(**changes):
    scores = {"auroc": score(0.6), "brier": score(0.18, 0.02)} | changes
    return [ComparedModel(model=name, is_model=name == MODELS[0], **scores) for name in MODELS]


def test_comparison_highlights_the_model_beside_a_coin_and_leaves_out_the_prevalence():
    figure = forest.comparison(compared())
    text = drawn(figure)
    assert text.count("0.60 (0.50 to 0.70)") == 5
    (axes,) = figure.axes
    assert [line.get_color() for line in axes.lines] == [MODEL] * 2 + [GREY] * 9
    assert axes.lines[-1].get_xdata()[0] == 0.5
    assert [tick.get_text() for tick in axes.get_yticklabels()] == [
        "gradient boosting", "hematoma volume\nalone", "hours from onset\nalone", "BRAIN score",
        "volume and hours\nalone",
    ]  # fmt: skip
    assert [tick.get_fontweight() for tick in axes.get_yticklabels()] == ["bold"] + ["normal"] * 4


def test_a_model_that_is_the_prevalence_is_drawn():
    rows = compared()
    rows[1].is_model, rows[0].is_model = True, False
    assert "same risk for" in drawn(forest.comparison(rows))


@pytest.mark.parametrize("missing", [NONE, None])
def test_an_undefined_score_is_named(missing):
    assert drawn(forest.comparison(compared(auroc=missing))).count("not defined") == 5
    assert "0.60 (no interval)\n" in drawn(forest.comparison(compared(auroc=Score(value=0.6))))


@pytest.mark.parametrize("count", [0, 1, 9])
def test_subgroups_say_too_few(count):
    rows = [
        SubgroupScore(
            subgroup=f"age and a long name: {i}",
            num_patients=50,
            events=9,
            auroc=NONE,
            mean_risk=0.24,
            observed=None,
            note="too few",
        )
        for i in range(count)
    ]
    text = drawn(forest.subgroups(rows))
    assert text.count("too few") == count
