"""Headers in several languages, with units and numbers of scans."""

import pytest

from hemexp.cohort.columns import known_columns
from hemexp.cohort.headers import read_header, squeeze, synonyms


@pytest.mark.parametrize(
    ("text", "means", "unit", "occasion"),
    [
        ("Hematoma volume (mL)", "HM_volume", "mL", None),
        ("血肿体积（毫升）", "HM_volume", "mL", None),
        ("ICH_volume_ml_1", "HM_volume", "mL", ("number", 1)),
        ("Follow-up ICH volume (cc)", "HM_volume", "mL", ("next", 0)),
        ("hematoma_volume_24h", "HM_volume", "", ("hours", 24)),
        ("Hämatomvolumen Verlauf (ml)", "HM_volume", "mL", ("next", 0)),
        ("第二次CT血肿量(ml)", "HM_volume", "mL", ("number", 2)),
        ("Onset-to-CT (min)", "hours_from_onset", "minutes", None),
        ("Onset to CT1 (min)", "hours_from_onset", "minutes", ("number", 1)),
        ("发病至首次CT时间(h)", "onset_to_first_scan", "hours", None),
        ("随访12流水号", "scan_serial", "", ("follow_up", 12)),
        ("入院首次检查时间点", "scan_time", "", ("first", 0)),
        ("入院首次影像检查流水号", "first_scan_serial", "", None),
        ("SBP", "systolic", "", None),
        ("收缩压（mmHg）", "systolic", "mmHg", None),
        ("Alter (Jahre)", "age", "years", None),
        ("Glucose (mg/dL)", "glucose", "mg/dL", None),
        ("redcap_event_name", "event_name", "", None),
        ("90天mRS", "mrs_90d", "", None),
        ("Date and time of CT", "scan_time", "", None),
        ("onset_dt", "onset_time", "", None),
        ("Volume of IVH", "ivh_volume", "", None),
        ("Età", "age", "", None),
        ("血肿量ml", "HM_volume", "mL", None),
        ("24h血肿体积(ml)", "HM_volume", "mL", ("hours", 24)),
        ("ICH volume 24 h", "HM_volume", "", ("hours", 24)),
        ("发病至复查CT时间(h)", "hours_from_onset", "hours", ("next", 0)),
        ("Days from onset to CT1", "hours_from_onset", "days", ("number", 1)),
        ("Onset to 24h CT (h)", "hours_from_onset", "hours", ("hours", 24)),
        ("Scanner de contrôle (date heure)", "scan_time", "", ("next", 0)),
        ("glucose_mmol_l", "glucose", "mmol/L", None),
        ("Glycémie (g/L)", "glucose", "g/l", None),
        ("Sex: 1=female, 2=male", "sex", "", None),
    ],
)
def test_a_header_says_column_unit_and_scan(text: str, means: str, unit: str, occasion: tuple[str, int] | None):
    header = read_header(text)
    assert (header.means, header.unit, header.occasion) == (means, unit, occasion)


@pytest.mark.parametrize("text", ["Family history of hypertension", "Final hematoma volume", "Time to CT2 (hours)"])
def test_a_header_that_only_contains_a_known_name_is_a_guess_at_most(text: str):
    assert read_header(text).means == ""


def test_no_synonym_belongs_to_two_columns():
    owners: dict[str, set[str]] = {}
    for name, column in known_columns().items():
        for text in (name, column.meaning, column.chinese, *column.synonyms):
            owners.setdefault(squeeze(text), set()).add(name)
    assert {text: names for text, names in owners.items() if len(names) > 1} == {}
    assert set(synonyms().values()) == set(known_columns())
