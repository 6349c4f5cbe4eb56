import pytest
from drawing import NONE, drawn, score

from hemexp.figures import forest, style
from hemexp.figures.style import GREY, MODEL
from hemexp.files.result import (
    Calibration,
    CenterScore,
    CenterValidation,
    ComparedModel,
    Heterogeneity,
    Score,
    SubgroupScore,
)

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


def test_names_whose_letters_no_font_has_are_numbers_of_centers_and_question_marks_without_a_warning(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(style, "_list_fonts", lambda: ["DejaVu Sans"])
    assert style.can_draw("Größe ≥ 30 мл")
    rows = [
        CenterScore(
            center=name, num_train=80, num_patients=20, events=5, auroc=score(0.6), intercept=score(0.1), slope=NONE,
            brier=score(0.2), mean_risk=0.2, observed=0.25,
        )
        for name in ("Nord", "天坛")
    ]  # fmt: skip
    with style.house_style():
        figure = forest.centers(CenterValidation(centers=rows, not_scored={}, num_without_center=0))
        names = [tick.get_text() for tick in figure.axes[0].get_yticklabels()]
        assert names == ["Nord (5/20)", "center 2 (5/20)"]
        style.name_rows(figure.axes[0], ["体重 kg"])
        figure.draw_without_rendering()
    assert figure.axes[0].get_yticklabels()[0].get_text() == "?? kg"


@pytest.mark.parametrize("pooled", [True, False])
def test_centers_shows_the_mean_and_what_is_expected_in_a_new_center(pooled: bool):
    rows = [
        CenterScore(
            center=name, num_train=80, num_patients=20, events=5, auroc=score(0.6 + 0.1 * i), intercept=score(-1.5 * i),
            slope=NONE, brier=score(0.2), mean_risk=0.2, observed=0.25,
        )
        for i, name in enumerate(["Nord", "Tiantan"])
    ]  # fmt: skip
    auroc = Heterogeneity(
        num_centers=3,
        mean=0.66,
        low=0.61,
        high=0.71,
        predicted_low=0.3,
        predicted_high=0.9,
        between_sd=0.1,
        i_squared=0.2,
    )
    block = CenterValidation(centers=rows, not_scored={}, num_without_center=0, auroc=auroc if pooled else None)
    figure = forest.centers(block)
    text = drawn(figure)
    assert "Tiantan (5/20)" in text
    assert "-1.50 (-1.60 to -1.40)" in text
    assert figure.axes[1].get_xlim()[0] < -1.6
    assert ("0.66 (0.61 to 0.71)" in text) == ("0.30 to 0.90" in text) == pooled
    names = [tick.get_text() for tick in figure.axes[0].get_yticklabels()]
    assert names[2:] == (["mean over centers", "a new center"] if pooled else [])


def test_a_validation_has_a_panel_for_each_known_score_and_fits_a_narrow_screen():
    found = Calibration(intercept=score(-1.7), slope=score(1.1), scaled_brier=NONE, mean_risk=0.5, observed=0.7)
    figure = forest.validation([("new patients", score(0.7), found), ("BRAIN score here", score(0.6), None)], "Here")
    text = drawn(figure)
    assert [len(panel.lines) for panel in figure.axes] == [5, 3, 3]  # two marks a score, and the ideal
    assert text.count("BRAIN score here") == 1  # it has no calibration
    for words in ("0.70 (0.60 to 0.80)", "-1.70 (-1.80 to -1.60)", "1.10 (1.00 to 1.20)", "new patients", "BRAIN"):
        assert words in text, words
    for panel, value in zip(figure.axes, (0.7, -1.7, 1.1), strict=True):
        low, high = panel.get_xlim()
        assert low < value - 0.1 < value + 0.1 < high
    assert figure.get_figwidth() * 150 < 900  # a broader figure must be moved sideways on a telephone
    assert len(forest.validation([("new patients", score(0.7), None)], "Here").axes) == 1
