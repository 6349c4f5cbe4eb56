"""privacy.pseudonymize: no file that a command writes holds an original id, serial or date."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from small import QUIET

from hemexp.cohort.findings import CohortError
from hemexp.cohort.load import load_cohort
from hemexp.cohort.pseudonyms import Pseudonyms
from hemexp.commands.predict import predict
from hemexp.commands.prepare import prepare
from hemexp.commands.report import report
from hemexp.commands.train import train
from hemexp.config import DataConfig, PredictConfig, PrepareConfig, ReportConfig, TrainConfig, config_hash
from hemexp.config.compose import load_config
from hemexp.errors import UserError
from hemexp.files.result import PredictionResult, RunResult, read_result

NUM_PATIENTS = 40


def write_table(folder: Path, **cells: object) -> Path:
    """Write a table of a hospital with telling names; `cells` replace columns of the first row."""
    rows = []
    for i in range(NUM_PATIENTS):
        onset = pd.Timestamp("2019-03-04 06:10") + pd.Timedelta(days=5 * i)
        for scan in range(2):
            time = onset + pd.Timedelta(hours=2 + 20 * scan)
            rows.append(
                {
                    "Patient ID": f"MEIER-{1000 + i}",
                    "Scan serial": f"{time.strftime('%Y%m%d%H%M')}{10 + i:02d}",
                    "Scan date/time": str(time),
                    "Onset date/time": str(onset),
                    "Age": 40 + i,
                    "Hematoma volume (mL)": round(10 + 0.137 * i + (9 if scan and i % 3 == 0 else 0), 3),
                    "Edema volume (mL)": round(5 + i * 7919 % 1000 / 137 + scan * i * 13 % 7, 3),
                    "Billing reference": 7_400_000 + 31 * i,
                    "Ward": "ABC"[i // 3 % 3],  # not the outcome
                }
            )
    rows[0] |= cells
    folder.mkdir(exist_ok=True)
    pd.DataFrame(rows).to_csv(folder / "table.csv", index=False)
    return folder / "table.csv"


@pytest.fixture
def key(tmp_path: Path) -> Path:
    (tmp_path / "keys").mkdir()
    (tmp_path / "keys" / "key").write_bytes(bytes(range(32)))
    return tmp_path / "keys" / "key"


@pytest.fixture
def table(tmp_path: Path) -> Path:
    return write_table(tmp_path / "hospital")


def originals(table: Path) -> set[str]:
    """Return the ids, the serials and the days in the file."""
    content = pd.read_csv(table, dtype=str)
    days = {day[:10] for name in ("Scan date/time", "Onset date/time") for day in content[name]}
    compact = {day.replace("-", "") for day in days}
    numbers = {*content["Patient ID"], *content["Scan serial"], *content["Billing reference"]}
    return {*days, *compact, *numbers} - {""}


def find_originals(table: Path, *folders: Path) -> list[str]:
    """Return the originals that occur in the files of folders; events and checkpoints are read as bytes."""
    files = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
    assert files
    contents = {path: path.read_bytes() for path in files}
    return [f"{path}: {name}" for name in originals(table) for path, text in contents.items() if name.encode() in text]


def prepared(table: Path, directory: Path, *settings: str) -> pd.DataFrame:
    directory.mkdir(exist_ok=True)
    prepare(load_config(PrepareConfig, [f"data.root={table}", *settings]), directory)
    return pd.read_csv(directory / "scans.csv", dtype={"patient_id": str, "scan_serial": str})


def test_no_file_of_a_command_holds_an_original_id_serial_or_date(
    table: Path, key: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
):
    caplog.set_level("INFO")
    setting = f"privacy.pseudonymize={key}"
    prepared(table, tmp_path / "prepared", setting)
    settings = ["features=columns", "features.columns=[age,HM_volume,Ward]", "model=logistic", "logger=csv", *QUIET]
    train(load_config(TrainConfig, [f"data.root={table}", setting, *settings]), tmp_path / "run")
    (tmp_path / "predicted").mkdir()
    predict(
        load_config(PredictConfig, [f"run_dir={tmp_path / 'run'}", f"data.root={table}", setting]),
        tmp_path / "predicted",
    )
    report(load_config(ReportConfig, [f"run_dir={tmp_path / 'run'}", "report.patients=true"]), tmp_path)
    assert find_originals(table, *(tmp_path / name for name in ("prepared", "run", "predicted"))) == []
    shown = capsys.readouterr()
    assert [name for name in originals(table) if name in shown.out + shown.err + caplog.text] == []
    result = read_result(tmp_path / "predicted" / "result.json", PredictionResult)
    assert result.num_train == read_result(tmp_path / "run" / "result.json", RunResult).num_train  # all are recognized
    assert result.verdict == "NO_LEAKAGE_FOUND"


@pytest.mark.parametrize(
    "cells",
    [
        {"Age": "MEIER-1007"},
        {"Scan date/time": "2019-03-04 05:00:00"},
        {"Hematoma volume (mL)": "see scan 20190309081011"},
        {"Scan serial": "201903090810"},
        {"Age": "born 04.03.1950"},
        {"Onset date/time": "04.03.2019 about 6"},
    ],
    ids=["an id as the age", "before the onset", "a serial in a text", "an odd serial", "a birth date", "a bad time"],
)
def test_a_finding_about_a_cell_holds_no_original(cells: dict[str, object], key: Path, tmp_path: Path):
    table = write_table(tmp_path / "hospital", **cells)
    (tmp_path / "out").mkdir()
    message = ""
    try:
        prepared(table, tmp_path / "out", f"privacy.pseudonymize={key}")
    except UserError as error:
        message = str(error) + str(error.__cause__ or "")
    assert [name for name in {*originals(table), "04.03.1950", "04.03.2019"} if name in message] == []
    assert find_originals(table, tmp_path / "out") == []


def test_order_measurements_and_intervals_stay(table: Path, key: Path, tmp_path: Path):
    before = prepared(table, tmp_path / "before")
    after = prepared(table, tmp_path / "after", f"privacy.pseudonymize={key}")
    assert after["patient_id"].str.fullmatch(r"P-[0-9A-HJKMNP-TV-Z]{8}").all()
    assert after["scan_serial"].str.fullmatch(r"S-[0-9A-HJKMNP-TV-Z]{12}").all()
    assert pd.factorize(after["patient_id"])[0].tolist() == pd.factorize(before["patient_id"])[0].tolist()
    assert "Billing reference" in before
    assert "Billing reference" not in after
    names = [name for name in after if name not in {"patient_id", "scan_serial", "scan_time"}]
    pd.testing.assert_frame_equal(after[names], before[names])
    shift = pd.to_datetime(after["scan_time"]) - pd.to_datetime(before["scan_time"])
    assert (shift % pd.Timedelta(days=1) == pd.Timedelta(0)).all()
    assert (shift.groupby(after["patient_id"]).nunique() == 1).all()
    assert shift.nunique() > NUM_PATIENTS / 2
    assert "Billing reference" in (tmp_path / "after" / "quality.csv").read_text(encoding="utf-8-sig")


def test_the_tables_with_pseudonyms_are_read_without_a_new_finding(table: Path, key: Path, tmp_path: Path):
    after = prepared(table, tmp_path / "after", f"privacy.pseudonymize={key}")
    again = load_cohort(DataConfig("tidy", str(tmp_path / "after" / "scans.csv")))
    assert again.scans["patient_id"].tolist() == after["patient_id"].tolist()
    assert not again.findings.has_errors


def test_the_same_key_gives_the_same_names_and_another_key_gives_others():
    first, same, other = (Pseudonyms(key) for key in (b"a" * 16, b"a" * 16, b"b" * 16))
    assert first.patient("sub001") == same.patient("sub001") != other.patient("sub001")
    assert first.scan("20160319115501") == same.scan("20160319115501") != other.scan("20160319115501")
    assert first.check_value != other.check_value
    assert first.scan("sub001-2", "sub001") == f"{first.patient('sub001')}-2"  # made from the id: stays recognizable
    days = [first.days(f"sub{i:03}") for i in range(200)]
    assert min(days) >= 14_610
    assert len(set(days)) > 150


@pytest.mark.parametrize("date", ["2023-07-xx", "7/2023", "mid July 23", "20230704 0800h"])
def test_a_part_of_a_date_is_hidden_and_the_rule_is_not(date: str, key: Path, tmp_path: Path):
    table = write_table(tmp_path / "hospital", **{"Onset date/time": date})
    with pytest.raises(CohortError) as caught:
        load_cohort(load_config(PrepareConfig, [f"data.root={table}"]).data, key_file=str(key))
    (finding,) = [each for each in caught.value.findings.rows if each.severity == "error"]
    assert finding.value == "[hidden]"
    assert finding.message.startswith("onset_time is [hidden]; rule: a date and a time, year first, such as 2031-05-04")


def test_short_names_are_replaced_only_where_a_message_names_a_patient():
    names = Pseudonyms(b"a" * 16)
    scans = pd.DataFrame({"patient_id": ["7", "12"], "scan_serial": ["7-1", "12-1"], "scan_index": [0, 0]})
    names.replace_scans(scans, lambda *_: None, None)
    text = "patients 7, 12 and 9: age is 12; rule: 0 to 7, in row 12; '7' and 12's scan number 1"
    seven, twelve = names.patient("7"), names.patient("12")
    expected = (
        f"patients {seven}, {twelve} and 9: age is 12; rule: 0 to 7, in row 12; '{seven}' and {twelve}'s scan number 1"
    )
    assert names.scrub(text) == expected


@pytest.mark.parametrize(
    "text", ["2019-03-04", "04.03.2019", "4/3/19", "2019年3月4日", "20190304081012", "4 March 2019"]
)
def test_a_date_in_a_message_is_removed_or_shifted(text: str):
    names = Pseudonyms(b"a" * 16)
    assert text not in names.scrub(f"the time is {text} 06:10; correct it")
    shifted = names.scrub("the time is 2019-03-04 06:10:00; correct it", "sub001")
    expected = pd.Timestamp("2019-03-04") + pd.Timedelta(days=names.days("sub001"))
    assert shifted == f"the time is {expected.date()} 06:10:00; correct it"


def test_two_patients_never_share_a_pseudonym(monkeypatch: pytest.MonkeyPatch):
    names = Pseudonyms(b"a" * 16)
    monkeypatch.setattr(names, "patient", lambda name: "P-SAME0000" if name else "")
    scans = pd.DataFrame({"patient_id": ["a", "b"], "scan_serial": ["1", "2"], "scan_index": [0, 0]})
    with pytest.raises(UserError, match="two names get the same pseudonym; rule: use another key"):
        names.replace_scans(scans, lambda *_: None, None)


def test_predictions_do_not_change(workbooks: Path, key: Path):
    plain, replaced = (load_cohort(DataConfig("workbook", str(workbooks)), key_file=k) for k in (None, str(key)))
    numbers = plain.scans.select_dtypes("number").columns
    np.testing.assert_array_equal(plain.scans[numbers].to_numpy(), replaced.scans[numbers].to_numpy())
    assert plain.data_hash != replaced.data_hash
    assert plain.findings.counts() == replaced.findings.counts()


def test_a_key_file_is_checked(table: Path, key: Path, tmp_path: Path):
    (tmp_path / "short").write_bytes(b"1234")
    (table.parent / "key").write_bytes(bytes(32))
    for path, message in (
        (tmp_path / "missing", "there is no such file"),
        (tmp_path / "short", "holds 4 bytes; rule: at least 16 random bytes"),
        (tmp_path, "there is no such file"),
        (table.parent / "key", r"lies in data.root=.*; rule: the key is kept apart from the files"),
    ):
        with pytest.raises(UserError, match=rf"privacy\.pseudonymize={path}: {message}"):
            load_config(PrepareConfig, [f"data.root={table.parent}", f"privacy.pseudonymize={path}"])
    with pytest.raises(UserError, match="lies in output_dir="):
        load_config(TrainConfig, [f"output_dir={key.parent}", f"privacy.pseudonymize={key}"])


def test_the_key_is_part_of_the_config_hash_and_no_key_keeps_earlier_runs(key: Path, tmp_path: Path):
    (tmp_path / "other").write_bytes(bytes(32))
    (tmp_path / "copy").write_bytes(key.read_bytes())
    settings = [[], *([f"privacy.pseudonymize={path}"] for path in (key, tmp_path / "copy", tmp_path / "other"))]
    plain, first, copy, other = (config_hash(load_config(TrainConfig, each)) for each in settings)
    assert first == copy
    assert len({plain, first, other}) == 3


@pytest.mark.parametrize("given", ["", "keys/other"])
def test_predict_says_that_the_names_of_the_run_are_of_another_key(
    given: str, table: Path, key: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    (tmp_path / "keys" / "other").write_bytes(bytes(32))
    settings = ["features=columns", "features.columns=[age,HM_volume]", "model=logistic", *QUIET]
    train(load_config(TrainConfig, [f"data.root={table}", f"privacy.pseudonymize={key}", *settings]), tmp_path / "run")
    given = f"privacy.pseudonymize={tmp_path / given}" if given else "seed=0"
    overrides = [f"run_dir={tmp_path / 'run'}", f"data.root={table}", given]
    predict(load_config(PredictConfig, [each for each in overrides if each != "seed=0"]), tmp_path / "out")
    result = read_result(tmp_path / "out" / "result.json", PredictionResult)
    assert result.verdict.startswith("INCOMPLETE: the run's patients have pseudonyms")
    assert "the run's patients have pseudonyms" in caplog.text
    table = pd.read_csv(tmp_path / "out" / "predictions.csv")
    assert table["recognized_by"].eq("measurements").any()
    assert table["run_patient"].isna().all()  # beside the id, it would tell whose pseudonym it is


def test_the_key_of_a_sweep_lies_outside_of_the_sweep(run_command, tmp_path: Path):
    (tmp_path / "sweep").mkdir()
    (tmp_path / "sweep" / "key").write_bytes(bytes(32))
    settings = ["-m", "seed=0,1", "hydra.sweep.dir=sweep", "privacy.pseudonymize=sweep/key"]
    done = run_command("train.py", *settings)
    assert (done.returncode, "Traceback" in done.stderr) == (2, False), done.stderr
    assert "lies in hydra.sweep.dir=sweep" in done.stderr
