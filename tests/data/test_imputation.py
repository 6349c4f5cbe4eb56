import numpy as np
import pytest

from hemexp.data.imputation import fill_from_previous, fit_preprocessing, mean_of_last

NAN = np.nan


def column(*values: float) -> np.ndarray:
    return np.array(values)[:, None]


@pytest.mark.parametrize(
    ("values", "filled"),
    [
        ((1, 2, 6, NAN), (1, 2, 6, 3)),
        ((1, 2, 6, 4, NAN), (1, 2, 6, 4, 4)),  # only the last three
        ((1, NAN, 5, NAN), (1, 1, 5, 3)),  # fewer than three observed; a filled value is not used
        ((1, 2, 6, NAN, NAN), (1, 2, 6, 3, 3)),
        ((NAN, 4, NAN), (NAN, 4, 4)),  # no observed value before the first gap
        ((NAN, NAN), (NAN, NAN)),
    ],
)
def test_a_gap_gets_the_mean_of_the_three_observed_values_before_it(values: tuple, filled: tuple):
    np.testing.assert_array_equal(fill_from_previous(column(*values)), column(*filled))


def test_columns_are_filled_independently_and_the_input_is_not_changed():
    values = np.array([[1.0, 10.0], [NAN, 20.0], [3.0, NAN]])
    original = values.copy()
    np.testing.assert_array_equal(fill_from_previous(values), [[1, 10], [1, 20], [3, 15]])
    np.testing.assert_array_equal(values, original)


def test_the_fill_value_is_the_mean_of_the_last_three_observed_values():
    values = np.array([[9.0, NAN, 1.0], [1.0, NAN, NAN], [2.0, NAN, NAN], [6.0, NAN, NAN]])
    np.testing.assert_array_equal(mean_of_last(values), [3, 0, 1])


def test_a_gap_in_the_first_training_row_gets_the_fill_value():
    _, filled = fit_preprocessing(column(NAN, 1, 2, 6), clip=10)
    np.testing.assert_array_equal(filled, column(3, 1, 2, 6))


def test_scaling_is_fitted_to_the_filled_rows():
    fitted, filled = fit_preprocessing(column(1, 2, 6, NAN), clip=10)
    np.testing.assert_allclose(fitted.mean, filled.mean(axis=0))
    np.testing.assert_allclose(fitted.scale, filled.std(axis=0))


def test_a_constant_column_gets_an_infinite_scale():
    for value in (0.0, 1e9, 0.1):
        fitted, _ = fit_preprocessing(column(value, value, value * (1 + 1e-12)), clip=10)
        assert np.isinf(fitted.scale[0])
