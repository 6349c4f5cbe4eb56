"""No damage of a hospital's files changes a cohort in silence, and none ends in a traceback."""

import pytest
from damage.cohorts import get_cohort
from damage.damages import Case, cases, judge_case
from damage.handmade import HANDMADE, make_handmade
from damage.verdict import GOOD, judge
from hypothesis import HealthCheck, Phase, given, settings

CHECKED = settings(
    derandomize=True, database=None, deadline=None, print_blob=False,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large],
)  # fmt: skip


@pytest.mark.parametrize(
    "name", ["published", "long_table csv", "wide_table xlsx", "linked_tables ods", "tidy parquet"]
)
def test_an_undamaged_cohort_is_harmless(name: str):
    assert judge(name, get_cohort(name).copy(), []).outcome == "harmless"


@given(case=cases())
@settings(CHECKED, max_examples=8, phases=[Phase.generate])
def test_damage_never_changes_a_cohort_in_silence(case: Case):
    verdict = judge_case(case)
    assert verdict.outcome in GOOD, f"{verdict.outcome}: {verdict.detail}"


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Generating overly large repr")  # of the changes of a whole table
@given(case=cases())
@settings(CHECKED, max_examples=300, phases=[Phase.generate])
def test_many_kinds_of_damage_never_change_a_cohort_in_silence(case: Case):
    verdict = judge_case(case)
    assert verdict.outcome in GOOD, f"{verdict.outcome}: {verdict.detail}"


@pytest.mark.slow
@pytest.mark.parametrize("name", HANDMADE)
def test_a_kind_of_damage_that_hospitals_have_is_noticed_or_harmless(name: str):
    verdict = judge(*make_handmade(name))
    assert verdict.outcome in GOOD, f"{verdict.outcome}: {verdict.detail}"
