"""``train.py -m`` from the command line: its checks, its files, its failures, and the next start."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pandas as pd
import pytest
from small import FAST, ROOT

Run = Callable[..., subprocess.CompletedProcess[str]]
CROSS = [
    "trainer.max_epochs=6",
    "trainer.progress_bar=false",
    "evaluation.num_repeats=2",
    "evaluation.threshold_repeats=1",
]
GRID = ["model.kernel_size=3,5", "optimizer.lr=1e-3,3e-3"]


def read_board(directory: Path) -> pd.DataFrame:
    return pd.read_csv(directory / "leaderboard.csv", dtype={"folder": str, "tags": str, "message": str})


def read_stamps(directory: Path) -> dict[str, int]:
    """Return the time of the last change of each file of the jobs."""
    return {str(path): path.stat().st_mtime_ns for path in directory.glob("[0-9]*/**/*") if path.is_file()}


@pytest.fixture(scope="module")
def swept(workbooks: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sweep of four cross-validated jobs; tests do not write into it."""
    directory = tmp_path_factory.mktemp("sweep")
    command = [sys.executable, str(ROOT / "train.py"), "-m", *GRID, *CROSS, f"data.root={workbooks}", "tags=[pilot]"]
    done = subprocess.run([*command, "hydra.sweep.dir=s"], cwd=directory, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (directory / "s.txt").write_text(done.stdout)
    return directory / "s"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["model.kernel_size=3,4,5"], ["job 1 (model.kernel_size=4)", "must be odd"]),
        (["model=sacnn,mlp", "model.num_heads=2,4"], ["model.num_heads"]),
        (["model.num_heads=1,5"], ["job 1 (model.num_heads=5)", "embed_dim"]),
        (["optimizer.lr=1e-3,fast"], ["optimizer.lr", "fast"]),
        (["where=local,gpus"], ["where", "cannot be swept"]),
        (["trainer.accelerator=cpu,gpu"], ["trainer.accelerator", "cannot be swept"]),
        (["seed=0,1", "where=gpus"], ["where=gpus", "trainer.accelerator=gpu"]),
        (["seed=0,1", "where.num_workers=0"], ["where.num_workers=0"]),
        (["seed=0,1", "where=gpus", "where.devices=[0,0]"], ["where.devices", "different"]),
        (["seed=0,1", "search.score=r2"], ["search.score=r2", "auroc"]),
        (["seed=0,1", "hydra.sweep.subdir=x"], ["hydra.sweep.subdir=x", "its number"]),
    ],
)
def test_a_sweep_with_a_mistake_is_refused_before_anything_is_written(
    arguments: list[str], words: list[str], run_command: Run, tmp_path: Path
):
    done = run_command("train.py", "-m", *arguments)
    assert done.returncode == 2, done.stderr
    assert all(word in done.stderr for word in words), done.stderr
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_missing_gpu_is_refused_before_anything_is_written(
    run_command: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    done = run_command("train.py", "-m", "seed=0,1", "where=gpus", "trainer.accelerator=gpu")
    assert done.returncode == 2
    assert "no CUDA GPU" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_directory_with_other_files_is_refused(run_command: Run, tmp_path: Path):
    (tmp_path / "s").mkdir()
    (tmp_path / "s" / "thesis.docx").touch()
    done = run_command("train.py", "-m", "seed=0,1", *FAST, "hydra.sweep.dir=s")
    assert done.returncode == 2
    assert "do not belong to a sweep" in done.stderr
    assert [path.name for path in (tmp_path / "s").iterdir()] == ["thesis.docx"]


@pytest.mark.slow
def test_the_leaderboard_ranks_by_cross_validation(swept: Path):
    board = read_board(swept)
    results = [json.loads((swept / directory / "result.json").read_text()) for directory in board["folder"]]
    assert list(board["score"]) == [result["metrics"]["cv/auroc"]["value"] for result in results]
    assert list(board["score_low"]) == [result["metrics"]["cv/auroc"]["low"] for result in results]
    assert board["score"].is_monotonic_decreasing
    assert list(board["rank"]) == [1, 2, 3, 4]
    assert set(board["status"]) == {"done"}
    assert set(board["tags"]) == {"pilot"}
    assert sorted(zip(board["model.kernel_size"], board["optimizer.lr"], strict=True)) == [
        (3, 0.001), (3, 0.003), (5, 0.001), (5, 0.003)
    ]  # fmt: skip
    assert list(board["config_hash"]) == [result["config_hash"] for result in results]


@pytest.mark.slow
def test_the_winner_is_evaluated_again_on_new_folds(swept: Path):
    summary, board = json.loads((swept / "sweep.json").read_text()), read_board(swept)
    winner = summary["winner"]
    assert winner["folder"] == board["folder"][0]
    assert winner["num_jobs"] == 4
    assert winner["score"]["value"] == board["score"][0]
    assert winner["reevaluation"]["value"] != winner["score"]["value"]
    assert summary["ranked_by"] == "cv/auroc"
    assert summary["status"] == "done"
    assert summary["swept"] == {"model.kernel_size": ["3", "5"], "optimizer.lr": ["0.001", "0.003"]}
    printed = (swept.parent / "s.txt").read_text()
    assert "the best of 4 jobs looks better than it is" in printed
    assert f"{winner['reevaluation']['value']:.3f}" in printed
    assert "leaderboard.csv" in printed


@pytest.mark.slow
def test_a_job_leaves_the_same_files_as_a_single_run(swept: Path, workbooks: Path, run_command: Run, tmp_path: Path):
    trained = pd.read_csv(swept / "timeline.csv", dtype=str)
    winner = str(json.loads((swept / "sweep.json").read_text())["winner"]["job"])  # its new folds are fits, too
    assert set(trained.loc[trained["task"] == "fits", "jobs"]) == {"0 1", "2 3", winner}
    single = ["model.kernel_size=5", "optimizer.lr=3e-3", *CROSS, f"data.root={workbooks}", "tags=[pilot]"]
    done = run_command("train.py", *single, "output_dir=alone")
    assert done.returncode == 0, done.stderr
    alone, job = tmp_path / "alone", swept / "3"
    for name in ("predictions.csv", "history.csv", "cv_predictions.csv", "cv_scores.csv", "splits.json", "DONE"):
        assert (job / name).read_text() == (alone / name).read_text(), name
    files = [
        {str(path.relative_to(directory)) for path in directory.rglob("*") if path.is_file()}
        for directory in (alone, job)
    ]
    kept = [{name for name in names if "tfevents" not in name} for names in files]
    assert kept[0] == kept[1]
    results = [json.loads((directory / "result.json").read_text()) for directory in (alone, job)]
    for key in ("metrics", "config_hash", "data_hash", "caveats", "best_loss", "claim", "calibration"):
        assert results[0][key] == results[1][key], key
    assert "Traceback" not in (job / "train.log").read_text()
    assert not (job / "checkpoints" / "fits").exists()


@pytest.mark.slow
def test_a_jobs_curves_and_hparams_are_in_tensorboard(swept: Path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    for job in ("0", "3"):
        board = EventAccumulator(str(swept / job / "tensorboard")).Reload()
        history = pd.read_csv(swept / job / "history.csv")
        assert [event.step for event in board.Scalars("train/loss")] == list(history["epoch"])
        assert b"optimizer.lr" in board.summary_metadata["_hparams_/session_start_info"].plugin_data.content
        assert board.Scalars("cv/auroc")


@pytest.mark.slow
def test_the_same_command_again_runs_nothing_and_a_larger_grid_only_what_is_new(
    swept: Path, workbooks: Path, tmp_path: Path, run_command: Run
):
    import shutil

    shutil.copytree(swept, tmp_path / "s")
    before = read_stamps(tmp_path / "s")
    common = [*CROSS, f"data.root={workbooks}", "hydra.sweep.dir=s"]
    again = run_command("train.py", "-m", *GRID, *common)
    assert again.returncode == 0, again.stderr
    assert "4 done already and skipped (job 0, 1, 2, 3), 0 to run" in again.stderr
    assert read_stamps(tmp_path / "s") == before
    larger = run_command("train.py", "-m", "model.kernel_size=5,7", "optimizer.lr=1e-3,3e-3", *common, "evaluation=off")
    assert larger.returncode == 0, larger.stderr  # evaluation=off: other configurations, no run may be reused
    assert "4 to run" in larger.stderr
    assert len(list((tmp_path / "s" / ".stale").iterdir())) == 4
    board = read_board(tmp_path / "s")
    assert set(board["model.kernel_size"]) == {5, 7}
    assert board["rank"].isna().all()
    for number in range(4):
        result = json.loads((tmp_path / "s" / str(number) / "result.json").read_text())
        assert result["config"]["evaluation"]["name"] == "off"
        assert result["config"]["model"]["kernel_size"] == (5, 5, 7, 7)[number]
    back = run_command("train.py", "-m", "model.kernel_size=5,3", "optimizer.lr=1e-3,3e-3", *common)
    assert back.returncode == 0, back.stderr
    assert "4 done already and skipped" in back.stderr
    for number, old in enumerate(("2", "3", "0", "1")):  # the grid is in another order: each run moves to its job
        assert (tmp_path / "s" / str(number) / "cv_scores.csv").read_text() == (
            swept / old / "cv_scores.csv"
        ).read_text()


def find_workers(launcher: int) -> list[int]:
    """Return the processes of work items: children of the server that the launcher has started."""
    parents: dict[int, list[int]] = {}
    for directory in Path("/proc").iterdir():
        with suppress(OSError, IndexError, ValueError):
            parent = int((directory / "stat").read_text().rsplit(")")[-1].split()[1])
            parents.setdefault(parent, []).append(int(directory.name))
    return [process for server in parents.get(launcher, []) for process in parents.get(server, [])]


def start(*arguments: str, cwd: Path) -> subprocess.Popen[str]:
    command = [sys.executable, str(ROOT / "train.py"), "-m", *arguments]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(command, cwd=cwd, text=True, start_new_session=True, **pipes)


def wait_for(check: Callable[[], bool], process: subprocess.Popen[str], seconds: float = 300) -> None:
    until = time.monotonic() + seconds
    while not check():
        if process.poll() is not None or time.monotonic() > until:
            process.kill()
            pytest.fail(f"waited too long: {process.communicate()}")
        time.sleep(0.05)


ENDLESS = "trainer.max_epochs=3,100000000,4,100000001,5"
ALONE = ["trainer.progress_bar=false", "evaluation=off", "trainer.stop_loss=null", "hydra.sweep.dir=s"]


@pytest.mark.slow
def test_a_killed_job_and_a_slow_one_do_not_affect_the_others_and_run_again(tmp_path: Path, run_command: Run):
    begun_at = time.monotonic()
    alone = run_command("train.py", "trainer.max_epochs=5", *ALONE[:-1], "output_dir=alone")
    assert alone.returncode == 0, alone.stderr
    timeout = max(10, round(4 * (time.monotonic() - begun_at)))  # enough for the other jobs, however slow the machine
    process = start(ENDLESS, *ALONE, f"where.job_timeout={timeout}", "where.num_workers=2", cwd=tmp_path)
    begun = tmp_path / "s" / "1" / "result.json"
    wait_for(begun.is_file, process)
    lines = {pid: Path(f"/proc/{pid}/fd/1") for pid in find_workers(process.pid)}
    (victim,) = (pid for pid, log in lines.items() if log.readlink().match("s/1/train.log"))
    os.kill(victim, signal.SIGKILL)
    output, errors = process.communicate(timeout=600)
    assert process.returncode == 1, errors
    assert "Traceback" not in errors
    board = read_board(tmp_path / "s").set_index("job")
    assert dict(board["status"]) == {0: "done", 2: "done", 4: "done", 1: "killed", 3: "timeout"}
    assert "SIGKILL" in board["message"][1]
    assert f"where.job_timeout={timeout}" in board["message"][3]
    for job in (1, 3):
        assert (tmp_path / "s" / str(job) / "FAILED").is_file()
        assert board["message"][job] in (tmp_path / "s" / str(job) / "train.log").read_text()
        assert f"job {job} (trainer.max_epochs=10000000{job // 3}): {board['status'][job].upper()}" in errors
        assert f"{board['status'][job]}: job {job}" in output
    before = read_stamps(tmp_path / "s")
    again = run_command("train.py", "-m", ENDLESS, *ALONE, "where.job_timeout=4")
    assert again.returncode == 1
    assert "3 done already and skipped (job 0, 2, 4), 2 to run" in again.stderr
    kept = {
        path: stamp
        for path, stamp in before.items()
        if f"{os.sep}1{os.sep}" not in path and f"{os.sep}3{os.sep}" not in path
    }
    assert kept.items() <= read_stamps(tmp_path / "s").items()


@pytest.mark.slow
def test_after_ctrl_c_the_same_command_completes_the_sweep(tmp_path: Path, run_command: Run):
    arguments = ["seed=0,1,2,3", "trainer.max_epochs=600", "trainer.checkpoint_every=20", *ALONE, "where.batch=false"]
    process = start(*arguments, cwd=tmp_path)
    wait_for(lambda: len(list(tmp_path.glob("s/*/checkpoints/last.ckpt"))) >= 1, process)
    process.send_signal(signal.SIGINT)
    output, errors = process.communicate(timeout=300)
    assert process.returncode == 1, errors
    assert "Traceback" not in errors
    assert "stopping" in errors
    assert "hydra.sweep.dir=s" in output
    board = read_board(tmp_path / "s").set_index("job")
    assert set(board["status"]) == {"interrupted", "missing"}
    assert json.loads((tmp_path / "s" / "sweep.json").read_text())["status"] == "interrupted"
    again = run_command("train.py", "-m", *arguments)
    assert again.returncode == 0, again.stderr
    assert len(list(tmp_path.glob("s/*/DONE"))) == 4
    assert "resuming" in "".join(path.read_text() for path in tmp_path.glob("s/*/train.log"))


@pytest.mark.slow
def test_ctrl_c_ends_a_sweep_of_the_basic_launcher_too(tmp_path: Path):
    process = start("seed=0,1", "trainer.max_epochs=100000", *ALONE, "hydra/launcher=basic", cwd=tmp_path)
    wait_for((tmp_path / "s" / "0" / "result.json").is_file, process)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 1
    assert "Traceback" not in errors
    assert not (tmp_path / "s" / "1").exists()
    assert "INCOMPLETE" in (tmp_path / "s" / "0" / "result.json").read_text()


@pytest.mark.slow
def test_the_reason_of_a_failure_is_in_the_log_of_the_job(tmp_path: Path, run_command: Run):
    done = run_command("train.py", "-m", "optimizer.lr=1e-3,1e25", *FAST, "hydra.sweep.dir=s", "split.val_fraction=0.2")
    assert done.returncode == 1
    assert "FAILED" in done.stderr
    assert "choose a lower rate" in (tmp_path / "s" / "1" / "train.log").read_text()
    assert (tmp_path / "s" / "0" / "DONE").is_file()
    board = read_board(tmp_path / "s")
    assert list(board["rank"].fillna(0)) == [1, 0]
    assert json.loads((tmp_path / "s" / "sweep.json").read_text())["ranked_by"] == "val/loss"


@pytest.mark.slow
def test_a_sweep_of_a_debug_preset_trains_the_same_patients_as_single_runs(tmp_path: Path, run_command: Run):
    sweep = ["debug=overfit", "optimizer.lr=1e-2,3e-3", "where.num_workers=1", "hydra.sweep.dir=s"]
    done = run_command("train.py", "-m", *sweep)
    assert done.returncode == 0, done.stderr
    assert set(pd.read_csv(tmp_path / "s" / "timeline.csv")["task"]) == {"fits", "jobs"}
    for job in ("0", "1"):
        assert "debug=overfit: the log loss of" in (tmp_path / "s" / job / "train.log").read_text()


@pytest.mark.slow
def test_a_broken_cohort_fails_every_job_with_its_reason(tmp_path: Path, run_command: Run):
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "scans.csv").write_text("patient_id,age\nsub001,old\n")
    done = run_command("train.py", "-m", "seed=0,1", f"data.root={tmp_path / 'c'}", *FAST, "hydra.sweep.dir=s")
    assert done.returncode == 1
    assert done.stderr.count("age is 'old'; rule: a number") >= 2
    assert set(read_board(tmp_path / "s")["status"]) == {"failed"}


@pytest.mark.slow
def test_the_other_groups_can_be_swept_and_the_basic_launcher_runs(tmp_path: Path, run_command: Run):
    swept = [
        "split=kfold",
        "split.fold=0,1",
        "label=onset_48h,relative_33",
        "features=paper,minimal",
        "model=ridge2,prevalence",
    ]
    done = run_command("train.py", "-m", *swept, *FAST, "hydra.sweep.dir=s")
    assert done.returncode == 0, done.stderr
    assert len(list(tmp_path.glob("s/*/DONE"))) == 16
    basic = run_command("train.py", "-m", "seed=0,1", *FAST, "hydra/launcher=basic", "hydra.sweep.dir=b")
    assert basic.returncode == 0, basic.stderr
    assert len(list(tmp_path.glob("b/*/DONE"))) == 2


@pytest.mark.slow
def test_simulated_gpus_get_a_worker_each(tmp_path: Path, run_command: Run):
    where = ["where=gpus", "where.devices=[0,1,2,3]"]
    done = run_command("train.py", "-m", "seed=0,1,2,3,4,5", *FAST, *where, "hydra.sweep.dir=s")
    assert done.returncode == 0, done.stderr
    assert len(list(tmp_path.glob("s/*/DONE"))) == 6
    timeline = pd.read_csv(tmp_path / "s" / "timeline.csv")
    trained, jobs = timeline[timeline["task"] == "fits"], timeline[timeline["task"].str.startswith("job")]
    assert [len(numbers.split()) for numbers in trained["jobs"].astype(str)] == [2, 2]
    with_others = set(" ".join(trained["jobs"].astype(str)).split())
    for _, job in jobs.iterrows():  # no GPU waits for figures and files; a job without company trains itself
        assert job["device"].startswith("cpu" if set(str(job["jobs"]).split()) <= with_others else "gpu")
    board = read_board(tmp_path / "s")
    assert set(board["device"]) == {f"gpu {number}" for number in range(4)}
    for _, spans in timeline.groupby("device"):
        ordered = spans.sort_values("started")
        assert (ordered["started"].iloc[1:].to_numpy() >= ordered["ended"].iloc[:-1].to_numpy() - 0.05).all()
