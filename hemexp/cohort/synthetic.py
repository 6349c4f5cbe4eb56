"""Write a simulated cohort as four workbooks of the published layout, which are read like a hospital's files."""

import datetime as dt
import io
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xlsxwriter

from hemexp.cohort import columns as c
from hemexp.cohort.columns import SIMULATED_COMMENT
from hemexp.cohort.population import LABEL_RULE, draw_admissions, draw_centers, population_parameters, true_risk
from hemexp.config import SyntheticDataConfig
from hemexp.files.writing import write_bytes

_Rows = list[list[Any]]
_CENTER = c.known_columns()["center"].chinese  # the published Table 1 has no such column


def write_workbooks(data: SyntheticDataConfig, root: Path) -> float:
    """Simulate a cohort and write its four workbooks.

    Every patient's outcome is drawn from the true risk (`hemexp.cohort.population`) and shown by the follow-up scans,
    as ``label=onset_48h`` defines it.

    Args:
        data: size, prevalence, signal and seed, and whether the workbooks contain the errors of the published ones.
        root: an existing or new folder.

    Returns:
        The best possible AUROC: the AUROC of the true risk in a population of 100,000.
    """
    rng = np.random.default_rng(data.seed)
    patients = draw_admissions(data.num_patients + data.num_unlabelled, rng)
    shift: Any = 0.0
    if data.num_centers > 1:
        centers, shifts, factors = draw_centers(data, len(patients))
        patients["center"] = [f"Center {chr(65 + number) if number < 26 else number + 1}" for number in centers]
        patients["HM_volume"], shift = (patients["HM_volume"] * factors[centers]).round(), shifts[centers]
    patients["expands"] = rng.random(len(patients)) < true_risk(patients, data, shift)
    patients["followed"] = np.arange(len(patients)) < data.num_patients
    scans = _scans(patients, rng)
    tables = _tables(patients, scans, rng)
    if data.planted_errors:
        _plant_errors(tables, data.num_patients)
    for file, sheets in tables.items():
        _write(root / file, sheets)
    return population_parameters(data)[1]


def _scans(patients: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """Draw the times of all scans and the volumes of hematoma and edema: a row a scan."""
    absolute_ml, relative, window_hours, _ = LABEL_RULE
    rows = []
    first = zip(*(patients[name].tolist() for name in _AT_ADMISSION), strict=True)
    for i, (first_volume, onset, expands, followed) in enumerate(first):
        admission = dt.datetime(2031, 1, 1) + dt.timedelta(hours=13 * i + rng.uniform(0, 12))
        hours, volume, edema = 0.0, first_volume, first_volume * rng.uniform(0.3, 1.0)
        rows.append((i, 0, admission, hours, volume, edema))
        if not followed:
            continue
        threshold = min(1000 * absolute_ml, relative * volume)
        change = threshold * (1.02 + rng.exponential(1.0)) if expands else threshold * rng.uniform(-0.6, 0.9)
        hours, volume = rng.uniform(2, window_hours - 1 - onset), volume + change
        if expands:  # such a patient gets worse and is scanned again sooner
            hours /= 2
        for k in range(1, 1 + int(rng.integers(1, 5))):
            if k > 1:  # weeks of absorption: no growth after the first follow-up
                hours += rng.uniform(48, 200)
                volume *= rng.uniform(0.2, 0.95) * (rng.random() > 0.05 * k)
            edema *= rng.uniform(0.8, 1.6)
            rows.append((i, k, admission + dt.timedelta(hours=hours), hours, volume, edema * (volume > 0)))
    scans = pd.DataFrame(rows, columns=["patient", "index", "time", "hours", "HM_volume", "ED_volume"])
    scans[["HM_volume", "ED_volume"]] = scans[["HM_volume", "ED_volume"]].round()
    scans["time"] = scans["time"].dt.round("s")
    days = scans["time"].dt.strftime("%Y%m%d").astype(int)
    scans["serial"] = days * 1_000_000 + (rng.integers(1_000_000) + np.arange(len(scans))) % 1_000_000
    return scans


def _tables(patients: pd.DataFrame, scans: pd.DataFrame, rng: np.random.Generator) -> dict[str, dict[str, _Rows]]:
    """Return the four workbooks as file → sheet → rows of cells; None is an empty cell."""
    n = len(patients)
    ids = [f"sub{i + 1:03d}" for i in range(n)]
    scans_of: dict[Any, pd.DataFrame] = dict(iter(scans.groupby("patient")))
    firsts = scans[scans["index"] == 0].set_index("patient")

    numbers: dict[str, Any] = {name: (rng.random(n) < share).astype(int) for name, share in _SHARES.items()}
    numbers |= {name: patients[name] for name in ("age", "stroke_history", "onset_to_first_scan")}
    numbers["mrs_before"] = rng.choice(4, n, p=[0.9, 0.05, 0.03, 0.02])
    recovery = np.minimum(rng.integers(0, 7, n) + 2 * patients["expands"], 6)  # worse after expansion
    scores = zip(recovery, patients["followed"], strict=True)
    numbers["mrs_90d"] = [score if followed else None for score, followed in scores]
    values: dict[str, Any] = {header: numbers[name] for header, name in c.NUMBER_HEADERS.items()}
    values[c.SEX_HEADER] = np.where(rng.random(n) < 0.65, "男", "女")
    pressures = zip(patients["systolic"], patients["diastolic"], strict=True)
    values[c.PRESSURE_HEADER] = [f"{systolic:.0f}/{diastolic:.0f}" for systolic, diastolic in pressures]
    values[c.PART_HEADER] = np.where(patients["followed"], c.TRAINING_MARK, "测试")
    values[c.SERIAL_HEADER] = firsts["serial"]
    headers = [*c.TABLE_1, *[_CENTER] * ("center" in patients)]
    values |= {_CENTER: patients["center"]} if "center" in patients else {}
    rows = zip(*(values[header] for header in headers), strict=True)
    clinical = [["", *headers], *([patient, *row] for patient, row in zip(ids, rows, strict=True))]

    location, serials = _locations(scans, rng), scans["serial"].tolist()
    blocks = max(len(group) for group in scans_of.values())
    header = ["首次检查流水号", *(f"随访{k}流水号" for k in range(1, blocks))]
    imaging: _Rows = [["ID", *(name for serial in header for name in (serial, *c.LOCATION))]]
    for i, patient in enumerate(ids):
        cells = (cell for scan in scans_of[i].index for cell in (serials[scan], *location[scan]))
        imaging.append([patient, *cells])

    stages = ["入院首次检查", *(f"随访{k}" for k in range(1, blocks))]
    index: _Rows = [["ID", "重复次数", *(stage + kind for stage in stages for kind in ("时间点", "流水号"))]]
    for i in range(n):
        pairs = zip(scans_of[i]["time"], scans_of[i]["serial"], strict=True)
        cells = (cell for time, serial in pairs for cell in (time, int(serial)))
        index.append([f"Hemo{i + 1:04d}", len(scans_of[i]), *cells])

    radiomics = {"ED": _radiomics(scans, "ED_volume", 45.0, rng), "Hemo": _radiomics(scans, "HM_volume", 62.0, rng)}
    return {
        "表1-患者列表及临床信息.xlsx": {"患者信息": clinical},
        "表2-患者影像信息血肿及水肿的体积及位置.xlsx": {"Data": imaging},
        "表3-患者影像信息血肿及水肿的形状及灰度分布.xlsx": radiomics,
        "附表1-检索表格-流水号vs时间.xlsx": {"Sheet1": index},
    }


_AT_ADMISSION = ["HM_volume", "onset_to_first_scan", "expands", "followed"]
_SHARES = {
    "hypertension": 0.85, "diabetes": 0.15, "atrial_fibrillation": 0.05, "coronary_disease": 0.1, "smoking": 0.2,
    "alcohol": 0.15, "ventricular_drainage": 0.08, "hemostasis": 0.6, "icp_lowering": 0.7, "bp_lowering": 0.85,
    "sedation": 0.6, "antiemetic": 0.9, "neurotrophic": 0.9,
}  # fmt: skip


def _locations(scans: pd.DataFrame, rng: np.random.Generator) -> list[list[float]]:
    """Draw the ratios of ten territories for every scan; a patient's main territory does not change."""
    main = rng.integers(0, 10, int(scans["patient"].max()) + 1)[scans["patient"]]
    columns = []
    for volume in ("HM_volume", "ED_volume"):
        shares = rng.dirichlet(np.full(10, 0.05), len(scans))
        shares = 0.2 * shares + 0.8 * np.eye(10)[main]
        columns += [scans[[volume]].to_numpy(), shares * (scans[[volume]].to_numpy() > 0)]
    rows: list[list[float]] = np.hstack(columns).tolist()
    return rows


def _radiomics(scans: pd.DataFrame, volume: str, density: float, rng: np.random.Generator) -> _Rows:
    """Draw shape and grey levels of all scans with a measurable volume, in the order of the sheet."""
    scans = scans[scans[volume] > 20]
    n, v = len(scans), scans[volume].to_numpy()
    elongation, flatness = rng.beta(8, 4, n), rng.beta(6, 6, n)
    major = 2 * (3 * v / (4 * np.pi * elongation * flatness)) ** (1 / 3)
    sphericity = rng.beta(12, 7, n)
    surface = (36 * np.pi * v**2) ** (1 / 3) / sphericity
    extent = major * rng.uniform(0.85, 1.1, (4, n))
    mean, sd, skew = rng.normal(density, 6, n), rng.gamma(20, 0.5, n), rng.normal(0, 0.3, n)
    low, high = mean - sd * rng.uniform(3, 4, n), mean + sd * rng.uniform(3, 4, n)
    entropy = np.log2(sd) + rng.normal(0.5, 0.1, n)
    shape = [
        elongation, flatness, major * flatness, major, *extent, v * 0.998, major * elongation, sphericity,
        surface, surface / v, v,
    ]  # fmt: skip
    grey_levels = [
        mean - 1.28 * sd, mean + 1.28 * sd, v * (mean**2 + sd**2), entropy, 1.35 * sd, rng.gamma(40, 0.08, n), high,
        0.8 * sd, mean, mean + 0.1 * sd * skew, low, high - low, 0.55 * sd, np.sqrt(mean**2 + sd**2), skew,
        2.0**-entropy, sd**2,
    ]  # fmt: skip
    values = np.column_stack(shape + grey_levels).tolist()
    rows = sorted([None, serial, *row] for serial, row in zip(scans["serial"].tolist(), values, strict=True))
    return [["备注", "流水号", *c.SHAPE, *c.FIRST_ORDER], *rows]


def _plant_errors(tables: dict[str, dict[str, _Rows]], num_patients: int) -> None:
    """Make the mistakes of the published workbooks; each is a warning, none changes an outcome."""
    table_1, table_2, radiomics, index_table = tables.values()
    clinical, imaging, index = table_1["患者信息"], table_2["Data"], index_table["Sheet1"]
    serial, pressure = (clinical[0].index(header) for header in (c.SERIAL_HEADER, c.PRESSURE_HEADER))
    clinical[2][serial] = imaging[1][1]  # the second patient's first scan is said to be the first patient's
    clinical[3][serial] = imaging[3][1 + 1 + len(c.LOCATION)]  # the third's is its own second scan
    clinical[4][pressure] = clinical[4][pressure].replace("/", "/ ")
    clinical[5][serial] = float(clinical[5][serial])
    missing = imaging[num_patients][1]  # the last followed patient's first scan has no shape rows
    for tissue in ("ED", "Hemo"):
        rows = radiomics[tissue]
        rows[1:] = [row for row in rows[1:] if row[1] != missing]
        rows.append([None, rows[-1][1] + 10_000_000, *rows[-1][2:]])  # a scan without a patient
    radiomics["Sheet1"] = [["流水号"], *([feature] for feature in c.SHAPE)]
    imaging[4][3] *= 0.5  # location ratios that do not sum to 1
    imaging[4][4:13] = [0.0] * 9
    index[3][1] += 2  # a count that does not fit
    index[5] += [None] * (len(index[0]) + 10 - len(index[5])) + [dt.datetime(2031, 7, 1), 4711.0]  # far to the right
    index.append(["Hemo9999", 1, dt.datetime(2032, 1, 1), 20320101000001])  # a patient of no other table


def _write(path: Path, sheets: dict[str, _Rows]) -> None:
    content = io.BytesIO()
    options = {"constant_memory": True, "default_date_format": "yyyy/m/d h:mm:ss"}
    with xlsxwriter.Workbook(content, options) as book:
        book.set_properties({"created": dt.datetime(2031, 1, 1), "comments": SIMULATED_COMMENT})
        for name, rows in sheets.items():
            sheet = book.add_worksheet(name)
            for i, row in enumerate(rows):
                sheet.write_row(i, 0, row)  # None and "" leave a cell empty
    write_bytes(path, content.getvalue())
