"""The effects of keys in a leaderboard, compared with numbers calculated by hand."""

import numpy as np
import pandas as pd
import pytest

from hemexp.report.sweep.effects import effects, expected_maximum, in_order, luck_within

SWEPT = {"a": ["2", "1"], "seed": ["0", "1"], "b": ["x", "y"]}
JOBS = pd.DataFrame(
    [("1", "0", "x", 0.5), ("1", "1", "x", 0.7), ("1", "0", "y", 0.8), ("1", "1", "y", 0.8),
     ("2", "0", "x", 0.4), ("2", "1", "x", 0.4), ("2", "0", "y", 0.5), ("2", "1", "y", 0.7)],
    columns=["a", "seed", "b", "score"],
)  # fmt: skip


def test_the_effect_of_a_key_equals_the_calculation_by_hand():
    found = effects(JOBS, SWEPT, ["seed"])
    assert [effect.key for effect in found] == ["a", "b", "seed"]  # by how far they reach, luck last
    values = found[0].values
    assert values["value"].tolist() == ["1", "2"]
    assert values["num_jobs"].tolist() == [4, 4]
    assert values["mean"].tolist() == pytest.approx([0.7, 0.5])
    assert values["spread"].tolist() == pytest.approx([0.2 / np.sqrt(2)] * 2)  # of 0.6 and 0.8; of 0.4 and 0.6
    assert values["luck"].tolist() == pytest.approx([0.1] * 2)  # two seeds 0.2 apart, two alike: (0.02 + 0) / 2
    assert found[0].places.tolist() == [0] * 4 + [1] * 4
    assert found[0].reach == pytest.approx(0.2)
    assert all(effect.balanced for effect in found)
    assert [effect.ordered for effect in found] == [True, False, True]
    assert found[2].values["mean"].tolist() == pytest.approx([0.55, 0.65])
    assert found[2].values["num_settings"].tolist() == [4, 4]


def test_each_setting_counts_once_however_many_seeds_it_has():
    found = {effect.key: effect for effect in effects(JOBS.drop(index=[1]), SWEPT, ["seed"])}
    assert found["a"].values["mean"].tolist() == pytest.approx([(0.5 + 0.8) / 2, 0.5])


def test_a_value_with_other_settings_is_not_balanced():
    assert not effects(JOBS.drop(index=[2, 3]), SWEPT, ["seed"])[0].balanced


def test_a_number_with_many_values_is_shown_in_four_groups_in_order():
    scores = pd.DataFrame({"lr": [f"{0.001 * 1.5**i:.6f}" for i in range(12)], "score": np.arange(12.0)})
    (found,) = effects(scores, {"lr": list(scores["lr"])[::-1]}, [])
    assert found.values["num_jobs"].tolist() == [3, 3, 3, 3]
    assert found.values["mean"].tolist() == [1, 4, 7, 10]
    assert found.values["value"][0] == "0.001 to 0.0022"


def test_a_key_with_one_value_left_has_no_effect():
    assert [effect.key for effect in effects(JOBS[:4], SWEPT, ["seed"])] == ["b", "seed"]


def test_numbers_are_sorted_by_size_and_before_words():
    assert in_order(["null", "1e-3", "100", "auto", "20"], ["auto", "null"]) == ["1e-3", "20", "100", "auto", "null"]


@pytest.mark.parametrize(
    ("count", "steps"), [(1, 0), (2, 1 / np.sqrt(np.pi)), (3, 1.5 / np.sqrt(np.pi)), (18, 1.82003)]
)
def test_the_expected_maximum_of_equal_jobs_is_known(count: int, steps: float):
    assert expected_maximum(count) == pytest.approx(steps, abs=1e-5)


def test_luck_is_the_spread_over_seeds_within_a_setting():
    assert luck_within(JOBS, ["a", "b"]) == pytest.approx(0.1)
    assert luck_within(JOBS, []) == pytest.approx(JOBS["score"].std())
    assert np.isnan(luck_within(JOBS, ["a", "b", "seed"]))
