"""Measure CPU seconds and peak memory of reading, checking and hashing a large cohort, beside pandas that only reads.

python benchmarks/cohort.py [--patients 100000]
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import rivals

from hemexp.cohort.load import load_cohort
from hemexp.config import PrepareConfig
from hemexp.config.compose import load_config

MEASURE = """
import json, time
started = time.process_time()
{code}
seconds = time.process_time() - started
status = dict(line.split(":", 1) for line in open("/proc/self/status"))  # Linux; the peak in KiB
print(json.dumps([seconds, int(status["VmHWM"].split()[0]) / 2**20]))
"""
READ = """
from hemexp.cohort.load import load_cohort
from hemexp.config import DataConfig
load_cohort(DataConfig("tidy", {root!r})).data_hash
"""


def main() -> None:
    """Print a row for each format and program."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--patients", type=int, default=100_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        text, columns = Path(folder, "csv"), Path(folder, "parquet")
        scans = build_scans(options.patients)
        for path in (text, columns):
            path.mkdir()
        scans.to_csv(text / "scans.csv", index=False)
        scans.to_parquet(columns / "scans.parquet")
        programs = {
            "hemexp, CSV": READ.format(root=str(text)),
            "hemexp, Parquet": READ.format(root=str(columns)),
            "pandas.read_csv alone": f"import pandas; pandas.read_csv({str(text / 'scans.csv')!r})",
            "pandas.read_parquet alone": f"import pandas; pandas.read_parquet({str(columns / 'scans.parquet')!r})",
        }
        rows = [[name, *measure(code)] for name, code in programs.items()]
    header = f"{scans['patient_id'].nunique()} patients, {len(scans)} scans, {scans.shape[1]} columns"
    rivals.table([header, "CPU seconds, start included", "peak GiB"], rows)


def build_scans(num_patients: int) -> pd.DataFrame:
    """Return copies of a synthetic cohort with other ids and serials, each with other sizes of the hematomas."""
    source = load_cohort(load_config(PrepareConfig, ["data=synthetic", "data.num_unlabelled=0"]).data).scans
    copies = -(-num_patients // source["patient_id"].nunique())
    scans = pd.concat([source] * copies, ignore_index=True)
    number = np.repeat(np.arange(copies), len(source))
    scans["patient_id"] = [f"{copy:06d}-{name}" for copy, name in zip(number, scans["patient_id"], strict=True)]
    scans["scan_serial"] = (20_310_000_000_000 + np.arange(len(scans))).astype(str)
    sizes = 1 + 0.2 * np.random.default_rng(0).random(copies)[number]  # of the heads: no patient is twice in the table
    powers = {"_volume": 3, "VoxelVolume": 3, "MeshVolume": 3, "Energy": 3, "SurfaceArea": 2, "SurfaceVolumeRatio": -1}
    powers |= {"AxisLength": 1, "Diameter": 1}
    for name in scans:
        for part, power in powers.items():
            if part in name:
                scans[name] *= sizes**power
    kept = set(scans["patient_id"].unique()[:num_patients])
    return scans[scans["patient_id"].isin(kept)]


def measure(code: str) -> list[float]:
    """Return the CPU seconds and the peak memory (GiB) of a program, in a process of its own."""
    program = [sys.executable, "-c", MEASURE.format(code=code)]
    done = subprocess.run(program, capture_output=True, text=True, check=True)
    seconds, peak = json.loads(done.stdout.splitlines()[-1])
    return [seconds, peak]


if __name__ == "__main__":
    main()
