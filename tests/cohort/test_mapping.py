"""mapping.yaml: what is written is read again, and a mistake in it is named."""

from pathlib import Path

import pytest

from hemexp.cohort.mapping.mapping import ColumnMapping, Mapping, Question, TableMapping, read_mapping
from hemexp.errors import UserError

MAPPING = Mapping(
    tables=[
        TableMapping(
            file="registry.xlsx",
            sheet="Sheet1",
            columns=[
                ColumnMapping(column="ID", letter="A", means="patient_id", examples=["007", "008"], sure="header"),
                ColumnMapping(column="血肿体积(mL)", letter="B", means="HM_volume", unit="mL", scan=1),
                ColumnMapping(column="Sex", letter="C", means="sex", values={"0": "male", "1": "female"}),
                ColumnMapping(column="Weight", letter="D"),
            ],
        )
    ],
    questions=[
        Question(
            table="registry.xlsx, Sheet1", column="Sex", key="values", question="Which value means male?",
            examples=["0", "1"], candidates=["0 = male, 1 = female", "1 = male, 0 = female"],
        )
    ],
)  # fmt: skip


def read(text: str, folder: Path) -> Mapping:
    path = folder / "mapping.yaml"
    path.write_text(text, encoding="utf-8")
    return read_mapping(path)


def test_a_mapping_is_read_as_it_was_written(tmp_path: Path):
    assert read(MAPPING.to_yaml(), tmp_path) == MAPPING


def test_yes_and_no_are_texts_not_booleans(tmp_path: Path):
    text = MAPPING.to_yaml().replace("{'0': male, '1': female}", "{1: yes, 2: no}")
    assert read(text, tmp_path).tables[0].columns[2].values == {"1": "yes", "2": "no"}


@pytest.mark.parametrize(
    "answer", ["0 = male, 1 = female", "0=Male,1=Female", "1 = female; 0 = male", "'0: male, 1: female'"]
)
def test_an_answer_may_be_written_differently(answer: str, tmp_path: Path):
    (question,) = read(MAPPING.to_yaml().replace("answer: null", f"answer: {answer}"), tmp_path).questions
    assert question.answer == "0 = male, 1 = female"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("means: HM_volume", "means: HM_volum", "did you mean HM_volume"),
        ("rows: scan", "rows: visit", "rows is 'visit'; rule: scan or patient"),
        ("scan: 1", "scan: first", "rule: 0 for the first scan"),
        ("scan: 1", "scan: true", "rule: 0 for the first scan"),
        ("scan: 1", "scan: 1, hours: 24", "rule: such as 24 from first scan"),
        ("letter: D", "leter: D", "there is no key 'leter'"),
        ("answer: null", "answer: male", "rule: one of 0 = male, 1 = female | 1 = male, 0 = female"),
        ("tables:", "tabels:", "has no tables"),
        ("questions:", "questions: {", "is not YAML"),
    ],
)
def test_a_mistake_in_a_mapping_is_named(old: str, new: str, message: str, tmp_path: Path):
    text = MAPPING.to_yaml()
    assert old in text
    with pytest.raises(UserError) as error:
        read(text.replace(old, new), tmp_path)
    assert message in str(error.value)
    assert "mapping.yaml" in str(error.value)
