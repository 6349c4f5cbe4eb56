import numpy as np
import pytest

from hemexp.evaluation.case_mix import compare_case_mix, compute_logits, describe_inputs, describe_logits
from hemexp.files.model_folder import ModelInput

AGE = ModelInput(name="age", kind="number", unit="years")


def describe(values):
    return describe_inputs([AGE], np.asarray(values, dtype=float)[:, None])[0]


def test_an_input_is_described_by_mean_deviation_gaps_and_range():
    values = np.r_[np.arange(200.0), [np.nan] * 50]
    found = describe(values)
    assert (found.mean, found.sd) == (99.5, pytest.approx(57.9))
    assert found.missing == 0.2
    assert (found.low, found.high) == (5.0, 194.0)
    assert (found.name, found.kind, found.unit) == ("age", "number", "years")


def test_few_patients_have_rounded_numbers_and_no_percentiles_near_the_smallest_value():
    values = np.random.default_rng(0).normal(63.217, 11.93, 40)
    found = describe(values)
    assert (found.mean, found.sd) == (round(values.mean(), 1), round(values.std(ddof=1), 1))
    assert found.low == pytest.approx(values.mean() - 1.96 * values.std(ddof=1), abs=0.5)
    assert found.low != pytest.approx(values.min(), abs=0.5)


def test_the_range_of_few_volumes_does_not_begin_below_zero():
    volumes = np.random.default_rng(0).lognormal(2.5, 1, 40)
    assert volumes.mean() - 1.96 * volumes.std(ddof=1) < 0
    assert describe(volumes).low == 0
    assert describe(np.r_[-1.0, volumes]).low < -1


@pytest.mark.parametrize("count", [0, 1, 2, 9])
def test_fewer_than_ten_values_are_not_described(count):
    found = describe([*np.linspace(50, 70, count), *[np.nan] * (20 - count)])
    assert (found.mean, found.sd, found.low, found.high) == (None, None, None, None)
    assert found.missing == pytest.approx(1 - count / 20)


def test_a_constant_input_and_an_infinite_value_give_finite_numbers():
    assert describe(np.full(30, 2.0)) == ModelInput(
        name="age", kind="number", unit="years", mean=2.0, sd=0.0, missing=0.0, low=2.0, high=2.0
    )
    assert describe(np.zeros(30)).mean == 0
    assert describe([*np.arange(20.0), np.inf]).high < 30


def test_the_standardized_difference_is_that_of_its_formula():
    rng = np.random.default_rng(1)
    there, here = rng.normal(60, 10, 500), np.r_[rng.normal(70, 12, 100), [np.nan] * 25]
    (row,) = compare_case_mix([describe(there)], here[:, None])
    known = here[:100]
    expected = (known.mean() - there.mean()) / np.sqrt((known.var(ddof=1) + there.var(ddof=1)) / 2)
    assert row.difference == pytest.approx(expected, abs=0.01)
    assert row.missing == pytest.approx(0.2)
    low, high = np.quantile(there, [0.025, 0.975])
    assert row.outside == pytest.approx(((known < low) | (known > high)).mean(), abs=0.011)


def test_one_patient_has_no_deviation_but_may_be_outside():
    trained = describe(np.arange(200.0))
    (row,) = compare_case_mix([trained], np.array([[500.0]]))
    assert (row.difference, row.sd, row.outside) == (None, None, 1.0)


def test_an_older_model_tells_nothing_of_its_cohort_and_no_patients_give_no_rows():
    (row,) = compare_case_mix([AGE], np.array([[1.0], [2.0]]))
    assert (row.mean, row.difference, row.outside) == (1.5, None, None)
    assert compare_case_mix([AGE], np.empty((0, 1))) == []


def test_the_logits_are_described_where_there_are_ten_patients():
    risks = np.linspace(0.1, 0.9, 25)
    found = describe_logits(risks, "test")
    assert (found.part, found.num_patients) == ("test", 25)
    assert found.mean == pytest.approx(0, abs=1e-9)
    assert found.sd == pytest.approx(np.log(risks / (1 - risks)).std(ddof=1), abs=0.005)
    assert describe_logits(risks[:9], "train") is None
    assert compute_logits(risks[:0]) == (None, None)
    assert compute_logits(np.array([0.5])) == (0.0, None)
