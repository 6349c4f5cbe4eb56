import numpy as np
import pandas as pd
import pytest
from drawing import drawn, score
from matplotlib.collections import LineCollection
from matplotlib.colors import to_hex

from hemexp.figures import sweep
from hemexp.figures.parallel import parallel_coordinates
from hemexp.figures.style import GREY, MODEL, YES

MEASURE = "AUROC, cross-validated"


def ranked(number, lower=False):
    rng = np.random.default_rng(0)
    table = pd.DataFrame({
        "optimizer.lr": [f"{rate:.4g}" for rate in 10 ** rng.uniform(-4, -1, number)],
        "model.dropout": rng.choice(["0.1", "0.2", "0.4"], number),
        "trainer.patience": rng.choice(["50", "null"], number),
        "score": rng.uniform(0.5, 0.7, number),
    })  # fmt: skip
    table = table.sort_values("score", ascending=lower, ignore_index=True)
    return table.assign(score_low=table["score"] - 0.05, score_high=table["score"] + 0.05)


def parallel(table, lower=False):
    keys = [key for key in table if not key.startswith("score")]
    return parallel_coordinates(table, keys, {"trainer.patience": ["50", "null"]}, MEASURE, lower)


def lines_of(figure):
    (lines,) = (lines for lines in figure.axes[0].collections if isinstance(lines, LineCollection))
    return lines


@pytest.mark.parametrize("number", [1, 3, 300])
def test_every_job_has_a_line_through_every_key_to_its_score(number):
    table = ranked(number)
    figure = parallel(table)
    text = drawn(figure)
    assert table["trainer.patience"][0] in text
    segments = lines_of(figure).get_segments()
    assert len(segments) == number
    assert all(list(line[:, 0]) == [0, 1, 2, 3] for line in segments)
    heights = np.array([line[-1, 1] for line in segments])  # the worst first
    expected = table["score"][::-1].to_numpy()
    low, high = (expected[0], expected[-1]) if number > 1 else (expected[0] - 0.5, expected[0] + 0.5)
    assert heights == pytest.approx((expected - low) / (high - low))


def test_numbers_that_span_a_factor_of_ten_get_a_logarithmic_axis():
    table = pd.DataFrame({"a": ["1", "3", "10"], "b": ["1", "3", "9"], "score": [0.7, 0.6, 0.5]})
    best, middle, worst = lines_of(parallel(table)).get_segments()[::-1]
    fan = 0.05
    assert middle[0, 1] == pytest.approx(np.log10(3))
    assert middle[1, 1] == pytest.approx((3 - 1) / (9 - 1))
    repeated = pd.concat([table, table.assign(score=table["score"] - 0.3)], ignore_index=True)
    fanned = lines_of(parallel(repeated)).get_segments()[::-1]
    assert abs(fanned[0][0, 1] - fanned[3][0, 1]) == pytest.approx(fan * 3 / 5)  # the same value, spread by score
    assert (best[0, 1], worst[0, 1]) == (0, 1)


def test_the_best_job_is_on_top_and_black_also_where_lower_is_better():
    table = ranked(20, lower=True)
    axes = parallel(table, lower=True).axes[0]
    black = next(line for line in axes.lines if line.get_color() == "black")
    assert black.get_ydata()[-1] == pytest.approx(1)
    assert lines_of(axes.figure).get_segments()[0][-1, 1] == pytest.approx(0)


def test_a_figure_without_data_has_a_note():
    assert "no ranked job" in drawn(parallel_coordinates(ranked(3), [], {}, MEASURE, False))
    assert "no job is ranked" in drawn(sweep.job_scores(ranked(0), [], "job", MEASURE))
    assert "no key has two values" in drawn(sweep.effects([], np.array([0.5]), MEASURE))
    nothing = pd.DataFrame({"task": [], "device": [], "started": [], "ended": [], "outcome": []})
    assert "no task has run" in drawn(sweep.timeline(nothing))


@pytest.mark.parametrize("number", [1, 3, 40, 41, 300])
def test_every_job_has_a_dot_and_a_bar_and_the_best_has_another_color(number):
    table = ranked(number)
    figure = sweep.job_scores(table, [f"{job}: x" for job in range(number)], "job: key", MEASURE)
    text = drawn(figure)
    bars, dots = figure.axes[0].collections
    assert len(bars.get_segments()) == number
    along = 0 if number <= 40 else 1
    assert dots.get_offsets().data[:, along] == pytest.approx(table["score"].to_numpy())
    assert to_hex(dots.get_facecolors()[0]) == MODEL
    assert (f"{number - 1}: x" in text) == (number <= 40)


def test_missing_intervals_are_noted():
    table = ranked(3).assign(score_low=np.nan, score_high=np.nan)
    assert "no intervals" in drawn(sweep.job_scores(table, ["a", "b", "c"], "job", MEASURE))


@pytest.mark.parametrize("num_keys", [1, 2, 5])
def test_a_line_joins_the_means_of_numbers_only(num_keys):
    places, scores = np.array([0, 0, 1, 1]), np.array([0.5, 0.7, 0.4, 0.6])
    panels = [
        (f"key{i}", ["1", "a long name of a value"], places, np.array([0.6, 0.5]), i == 0) for i in range(num_keys)
    ]
    figure = sweep.effects(panels, scores, MEASURE)
    assert "a long name of a" in drawn(figure)
    shown = [axes for axes in figure.axes if axes.get_visible()]
    assert [axes.get_title(loc="left") for axes in shown] == [f"key{i}" for i in range(num_keys)]
    assert [len(axes.lines) for axes in shown] == [2] + [1] * (num_keys - 1)
    assert shown[0].lines[-1].get_ydata().tolist() == [0.6, 0.5]
    assert shown[0].collections[0].get_offsets()[:, 1].tolist() == scores.tolist()


def test_the_best_job_is_drawn_beside_its_score_on_new_folds_a_baseline_and_a_coin():
    rows = [("as ranked", score(0.7)), ("on new folds", score(0.6)), ("BRAIN score", score(0.55))]
    figure = sweep.selection(rows, np.array([0.52, 0.6, 0.7]), MEASURE, "cv/auroc", has_baseline=True)
    text = drawn(figure)
    assert "0.70 (0.60 to 0.80)" in text
    assert "0.55 (0.45 to 0.65)" in text
    assert "all 3 jobs" in text
    lines = figure.axes[0].lines
    assert [line.get_color() for line in lines] == [YES, YES, MODEL, MODEL, GREY, GREY, GREY]
    assert lines[-1].get_xdata()[0] == 0.5
    without = sweep.selection(rows[:2], np.array([0.1, 0.2, 0.3]), "Brier score", "cv/brier")
    assert "coin" not in drawn(without)


@pytest.mark.parametrize(("seconds", "unit"), [(20.0, "seconds"), (1200.0, "minutes")])
def test_the_timeline_has_one_row_for_each_device(seconds, unit):
    tasks = pd.DataFrame({"device": ["gpu 0", "gpu 1", "gpu 0"], "outcome": ["done", "killed", "done"]})
    tasks = tasks.assign(
        task="job", started=[1e9, 1e9, 1e9 + seconds], ended=[1e9 + seconds, 1e9 + 5, 1e9 + 2 * seconds]
    )
    figure = sweep.timeline(tasks)
    assert f"{unit} since" in drawn(figure)
    bars = figure.axes[0].patches
    assert sorted(bar.get_y() + bar.get_height() / 2 for bar in bars) == pytest.approx([-1, 0, 0])
    end = max(bar.get_x() + bar.get_width() for bar in bars)
    assert end == pytest.approx(2 * seconds / (60 if unit == "minutes" else 1))
