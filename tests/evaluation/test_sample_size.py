import pytest

from hemexp.evaluation.sample_size import expected_shrinkage, largest_r_squared, required_sample_size, sample_size


def test_criteria_agree_with_the_example_of_pmsampsize():
    assert required_sample_size(0.174, 24, 0.288) == {"shrinkage": 623, "optimism": 662, "overall_risk": 221}


@pytest.mark.parametrize(
    ("parameters", "prevalence", "r_squared", "expected"),
    # from the tests of R's pmsampsize; its early releases rounded the second criterion, which is therefore left out
    [(24, 0.174, 0.55, (255, 221)), (36, 0.174, 0.288, (934, 221)), (24, 0.25, 0.288, (623, 289))],
)
def test_criteria_agree_with_the_tests_of_pmsampsize(parameters, prevalence, r_squared, expected):
    criteria = required_sample_size(prevalence, parameters, r_squared)
    assert (criteria["shrinkage"], criteria["overall_risk"]) == expected


def test_criteria_agree_with_the_examples_of_the_bmj_paper():
    preeclampsia = required_sample_size(0.05, 30, 0.05)
    assert max(preeclampsia.values()) == preeclampsia["shrinkage"] == 5249
    assert required_sample_size(0.5, 1, 0.1)["overall_risk"] == 385
    largest = {0.5: 0.75, 0.4: 0.74, 0.3: 0.71, 0.2: 0.63, 0.1: 0.48, 0.05: 0.33, 0.01: 0.11}
    assert {prevalence: round(largest_r_squared(prevalence), 2) for prevalence in largest} == largest


def test_expected_shrinkage_inverts_the_first_criterion():
    required = required_sample_size(0.174, 24, 0.288)["shrinkage"]
    assert expected_shrinkage(required, 24, 0.288) == pytest.approx(0.9, abs=1e-3)
    values = [expected_shrinkage(n, 72, 0.1) for n in (5, 60, 600, 6_000, 600_000)]
    assert values == sorted(values)
    assert 0.1 <= values[0] < 0.11
    assert 0.99 < values[-1] < 1


def test_the_training_part_of_the_paper_is_far_too_small():
    result = sample_size(60, 12, 72)
    assert result.criteria == required_sample_size(0.2, 72, 0.15 * largest_r_squared(0.2))
    assert result.required_patients == max(result.criteria.values()) > 6_000
    assert result.required_events == pytest.approx(0.2 * result.required_patients, abs=1)
    assert result.events_per_parameter == pytest.approx(1 / 6)
    assert result.expected_shrinkage < 0.15
    assert result.adequate is False


def test_a_model_without_parameters_needs_patients_only_for_the_overall_risk():
    result = sample_size(300, 60, 0)
    assert result.criteria == {"shrinkage": 0, "optimism": 0, "overall_risk": 246}
    assert (result.events_per_parameter, result.expected_shrinkage, result.adequate) == (None, 1.0, True)


def test_sample_size_is_none_if_one_outcome_is_missing():
    assert sample_size(50, 0, 3) is sample_size(50, 50, 3) is sample_size(0, 0, 3) is None
