"""Seven exports as hospitals have them, from the file to the report."""

import shutil
from pathlib import Path

import openpyxl
import pandas as pd
import pytest
from cohort.hospital import draw_scans

from hemexp.cohort import columns as c
from hemexp.commands.report import report
from hemexp.commands.train import train
from hemexp.config import ReportConfig, TrainConfig
from hemexp.config.compose import load_config

FEW = ["evaluation.num_repeats=1", "evaluation.threshold_repeats=1", "trainer.progress_bar=false"]
ENGLISH = {
    "patient": "Patient ID", "time": "Scan date/time", "onset": "Onset time", "age": "Age", "sex": "Sex", "sbp": "SBP",
    "dbp": "DBP", "ml": "Hematoma volume (mL)", "edema_ml": "Edema volume (mL)", "gcs": "GCS",
}  # fmt: skip
CHINESE = {
    "patient": "患者编号", "time": "检查时间", "onset": "发病时间", "age": "年龄", "sex": "性别", "sbp": "收缩压",
    "dbp": "舒张压", "ml": "血肿体积(mL)", "edema_ml": "水肿体积(mL)", "gcs": "GCS评分",
}  # fmt: skip


def long_table(names: dict[str, str]) -> pd.DataFrame:
    table = draw_scans(60)
    for name in ("time", "onset"):
        table[name] = table[name].dt.strftime("%d/%m/%Y %H:%M")
    return table[list(names)].rename(columns=names)


def tidy_table() -> pd.DataFrame:
    scans = draw_scans(60)
    first = scans.groupby("patient")["time"].transform("first")
    return pd.DataFrame(
        {
            "patient_id": scans["patient"],
            "scan_serial": scans["patient"] + "-CT" + scans["scan"].astype(str),
            "scan_index": scans["scan"],
            "scan_time": scans["time"].dt.strftime("%Y-%m-%d %H:%M:%S"),
            "hours_from_onset": ((scans["time"] - scans["onset"]).dt.total_seconds() / 3600).round(6),
            "hours_from_first_scan": ((scans["time"] - first).dt.total_seconds() / 3600).round(6),
            "age": scans["age"],
            "sex": scans["sex"].map({"M": 1, "F": 2}),
            "HM_volume": (1000 * scans["ml"]).round(),
        }
    )


def write_english(folder: Path, _: Path) -> list[str]:
    long_table(ENGLISH).to_excel(folder / "export.xlsx", index=False)
    return []


def write_chinese(folder: Path, _: Path) -> list[str]:
    table = long_table(CHINESE)
    table["性别"] = table["性别"].map({"M": "男", "F": "女"})
    table.to_excel(folder / "脑出血登记.xlsx", index=False)
    return []


def copy_without_radiomics(folder: Path, workbooks: Path) -> list[str]:
    for path in workbooks.glob("*.xlsx"):
        if not path.name.startswith("表3"):
            shutil.copy(path, folder)
    return []


def copy_without_treatments(folder: Path, workbooks: Path) -> list[str]:
    for path in workbooks.glob("*.xlsx"):
        shutil.copy(path, folder)
    (path,) = folder.glob("表1*.xlsx")
    book = openpyxl.load_workbook(path)
    sheet = book.worksheets[0]
    for column in range(sheet.max_column, 0, -1):
        if sheet.cell(1, column).value in c.TREATMENT_HEADERS:
            sheet.delete_cols(column)
    book.save(path)
    return []


def write_tidy(folder: Path, _: Path) -> list[str]:
    tidy_table().to_csv(folder / "scans.csv", index=False)
    return []


def write_tidy_with_own_inputs(folder: Path, _: Path) -> list[str]:
    spot = (draw_scans(60)["grows"] == 1).astype(int)
    tidy_table().assign(gcs=draw_scans(60)["gcs"], spot_sign=spot).to_csv(folder / "scans.csv", index=False)
    return []


def write_own_outcome(folder: Path, _: Path) -> list[str]:
    table = tidy_table().assign(expansion=draw_scans(60)["grows"])
    table[table["scan_index"] == 0].to_csv(folder / "scans.csv", index=False)
    return ["label=column", "label.column=expansion"]


EXPORTS = [
    write_english, write_chinese, copy_without_radiomics, copy_without_treatments, write_tidy,
    write_tidy_with_own_inputs, write_own_outcome,
]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("export", EXPORTS, ids=lambda export: export.__name__)
def test_an_export_reaches_a_report(export, workbooks: Path, tmp_path: Path):
    (tmp_path / "export").mkdir()
    options = export(tmp_path / "export", workbooks)
    root = f"data.root={tmp_path / 'export'}"
    cfg = load_config(TrainConfig, [root, "experiment=own_data", *FEW, *options])
    result = train(cfg, tmp_path / "run")
    assert result.status == "done"
    assert result.num_features >= 3
    report(load_config(ReportConfig, [f"run_dir={tmp_path / 'run'}"]), tmp_path)
    assert (tmp_path / "run" / "report.html").stat().st_size > 100_000
    if export is write_tidy_with_own_inputs:  # the spot sign is the outcome itself here
        assert result.metrics["cv/auroc"].value > 0.95
