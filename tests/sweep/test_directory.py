"""Job directories are matched by configuration hash, and jobs are ranked and summarized from them."""

import signal
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from fake_results import build_score, write_fake_result

from hemexp.cohort.load import load_cohort
from hemexp.config import DataConfig, TrainConfig
from hemexp.config.compose import load_config
from hemexp.errors import UserError
from hemexp.files.result import BETTER, CONCLUSIONS, LEAKAGE, WORSE, ComparedModel
from hemexp.files.run_directory import RunDirectory
from hemexp.files.writing import write_csv, write_text
from hemexp.process import get_ending_signals
from hemexp.sweep.backends.base import ItemResult, WorkItem
from hemexp.sweep.batches import build_items
from hemexp.sweep.controller import Sweep
from hemexp.sweep.directory import (
    append_timeline,
    create_run_dir,
    open_sweep,
    read_devices,
    reconcile,
    record_failure,
)
from hemexp.sweep.plan.cost import count_epochs, estimate_cost, get_batch_key
from hemexp.sweep.plan.job import SweepJob
from hemexp.sweep.results.job_result import JobScores, JobStatus
from hemexp.sweep.results.leaderboard import rank
from hemexp.sweep.results.summary import build_notes, build_summary

CFG = load_config(TrainConfig, [])


def build_job(number: int, seed: int, sweep: Path) -> SweepJob:
    files = {"overrides.yaml": "[]\n"}
    return SweepJob(number, sweep / str(number), (f"seed={seed}",), replace(CFG, seed=seed), files)


def finish(job: SweepJob, score: float | None = None, **changes: object) -> None:
    create_run_dir(job)
    metrics = {} if score is None else {"cv/auroc": build_score(score)}
    write_fake_result(job, **{"metrics": metrics, **changes})
    (job.directory / "DONE").touch()


def mark(job: SweepJob) -> None:
    """Write the seed of a job into its directory."""
    (job.directory / "mark").write_text(job.overrides[0])


def read_marks(directory: Path) -> dict[str, str]:
    return {path.name: (path / "mark").read_text() for path in directory.iterdir() if (path / "mark").is_file()}


def test_a_run_moves_to_the_new_number_of_its_job(tmp_path: Path):
    for number, seed in enumerate((0, 1, 2)):
        finish(build_job(number, seed, tmp_path))
        mark(build_job(number, seed, tmp_path))
    grid = [build_job(number, seed, tmp_path) for number, seed in enumerate((2, 3, 0))]
    assert [job.number for job in reconcile(tmp_path, grid)] == [1]
    assert read_marks(tmp_path) == {"0": "seed=2", "2": "seed=0"}
    assert list(read_marks(tmp_path / ".stale").values()) == ["seed=1"]
    back = [build_job(0, 1, tmp_path)]
    assert reconcile(tmp_path, back) == []
    assert read_marks(tmp_path) == {"0": "seed=1"}


def test_directories_of_other_configurations_move_to_stale_and_come_back(tmp_path: Path):
    begun, finished, unknown = (build_job(number, number, tmp_path) for number in range(3))
    create_run_dir(begun)
    finish(finished)
    for job in (begun, finished):
        mark(job)
    unknown.directory.mkdir()
    (unknown.directory / "mark").write_text("unknown")
    others = [build_job(number, 10 + number, tmp_path) for number in range(3)]
    assert reconcile(tmp_path, others) == others
    assert not [path for path in tmp_path.iterdir() if path.name.isdecimal()]
    assert sorted(read_marks(tmp_path / ".stale").values()) == ["seed=0", "seed=1", "unknown"]
    assert reconcile(tmp_path, [begun, finished, unknown]) == [begun, unknown]
    assert read_marks(tmp_path) == {"0": "seed=0", "1": "seed=1"}


def test_an_interrupted_move_is_completed_by_the_next_start(tmp_path: Path):
    one, other = build_job(0, 0, tmp_path), build_job(1, 1, tmp_path)
    finish(one)
    finish(other)
    (tmp_path / ".stale").mkdir()
    one.directory.rename(tmp_path / ".stale" / "killed-here")
    assert reconcile(tmp_path, [build_job(0, 1, tmp_path), build_job(1, 0, tmp_path)]) == []
    assert not list((tmp_path / ".stale").iterdir())


@pytest.mark.parametrize("length", [0, 1, 300])
def test_a_job_whose_result_was_cut_is_named_and_runs_again(
    length: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    job = build_job(0, 0, tmp_path)
    finish(job)
    result = job.directory / "result.json"
    result.write_bytes(result.read_bytes()[:length])
    assert rank([job], {0: JobStatus("done")}, "auroc").ranked_by is None
    assert reconcile(tmp_path, [job]) == [job]
    assert "its result.json cannot be read, so it was moved to .stale/" in capsys.readouterr().err
    assert reconcile(tmp_path, [job]) == [job]  # it does not come back
    assert len(list((tmp_path / ".stale").iterdir())) == 1


@pytest.mark.parametrize("length", [0, 3, 60, 110])
def test_a_cut_timeline_or_leaderboard_does_not_stop_the_sweep(length: int, tmp_path: Path):
    item = WorkItem("job", (build_job(0, 0, tmp_path),))
    append_timeline(tmp_path, [ItemResult(item, "done", "", "cpu 0", 1.0, 2.0)] * 3)
    (tmp_path / "leaderboard.csv").write_bytes("config_hash,device\n1,数".encode()[:-1])
    path = tmp_path / "timeline.csv"
    path.write_bytes(path.read_bytes()[:length])
    append_timeline(tmp_path, [ItemResult(item, "done", "", "cpu 1", 3.0, 4.0)])
    lines = path.read_text().splitlines()
    assert {line.count(",") for line in lines} == {5}
    assert (lines[0], lines[-1]) == ("task,jobs,device,started,ended,outcome", "job,0,cpu 1,3.0,4.0,done")
    assert read_devices(tmp_path) == {}


def test_two_sweeps_cannot_write_into_one_directory(tmp_path: Path):
    lock = open_sweep(tmp_path / "s")
    code = (
        "import sys; from pathlib import Path; from hemexp.sweep.directory import open_sweep; "
        "open_sweep(Path(sys.argv[1]))"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "s")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "UserError: hydra.sweep.dir=" in done.stderr
    assert "another process is writing there" in done.stderr
    lock.release()


def test_a_file_with_the_name_of_the_directory_is_refused(tmp_path: Path):
    (tmp_path / "s").touch()
    with pytest.raises(UserError, match=r"hydra\.sweep\.dir="):
        open_sweep(tmp_path / "s")


def test_the_end_of_a_process_is_recorded_in_the_directory_of_its_job(tmp_path: Path):
    job = build_job(0, 0, tmp_path)
    finish(job, status="running", config=asdict(job.cfg))
    (job.directory / "DONE").unlink()
    record_failure(job, "its process was ended by SIGKILL")
    assert RunDirectory(job.directory).result().status == "failed"  # the next start must be able to read it
    assert "SIGKILL" in (job.directory / "FAILED").read_text()
    assert "SIGKILL" in (job.directory / "train.log").read_text()


def test_the_best_job_is_first_and_jobs_without_a_score_are_last(tmp_path: Path):
    jobs = [build_job(number, number, tmp_path) for number in range(4)]
    for job, score in zip(jobs[:3], (0.5, 0.7, None), strict=True):
        finish(job, score)
    statuses = {0: JobStatus("done"), 1: JobStatus("done"), 2: JobStatus("done"), 3: JobStatus("killed", "SIGKILL")}
    board = rank(jobs, statuses, "auroc")
    assert [(row["rank"], row["job"]) for row in board.rows] == [(1, 1), (2, 0), (None, 2), (None, 3)]
    assert board.ranked_by == "cv/auroc"
    assert board.rows[3]["message"] == "SIGKILL"
    by_loss = [replace(job, cfg=replace(job.cfg, split=replace(CFG.split, val_fraction=0.2))) for job in jobs[:2]]
    for job, loss in zip(by_loss, (0.6, 0.4), strict=True):
        finish(job, None, best_loss=loss)
    board = rank(by_loss, statuses, "auroc")
    assert (board.ranked_by, board.lower_is_better) == ("val/loss", True)
    assert [row["job"] for row in board.rows] == [1, 0]
    low = [replace(job, cfg=CFG) for job in jobs[:2]]
    for job, score in zip(low, (0.5, 0.7), strict=True):
        finish(job, None, metrics={"cv/brier": build_score(score)})
    assert [row["job"] for row in rank(low, statuses, "brier").rows] == [0, 1]


def test_jobs_with_exactly_the_same_score_share_a_rank_and_are_named(tmp_path: Path):
    jobs = [build_job(number, number, tmp_path) for number in range(4)]
    for job, score in zip(jobs, (0.5, 0.7, 0.7, 0.6), strict=True):
        finish(job, score)
    board = rank(jobs, {job.number: JobStatus("done") for job in jobs}, "auroc")
    assert [(row["rank"], row["job"]) for row in board.rows] == [(1, 1), (1, 2), (3, 3), (4, 0)]
    notes = build_notes(jobs, board, build_summary(CFG, jobs, board, tmp_path))
    assert "jobs 1, 2 have exactly the same cv/auroc: job 1 is only the first of them" in notes


def test_costs_are_estimated_in_the_right_order():
    def cfg(*overrides: str) -> TrainConfig:
        return load_config(TrainConfig, list(overrides))

    assert count_epochs(cfg("evaluation=off")) == 1000
    assert count_epochs(cfg()) == 1000 * (1 + 5 * 24)
    assert count_epochs(cfg("model=ridge2", "evaluation=off")) == 1
    costs = [
        estimate_cost(cfg("evaluation=off", *overrides))
        for overrides in (["model=ridge2"], [], ["model.kernel_size=7"])
    ]
    assert costs == sorted(costs)
    assert get_batch_key(cfg("seed=1", "optimizer.lr=0.01", "split.val_fraction=0.1")) == get_batch_key(cfg())
    assert get_batch_key(cfg("model.kernel_size=5")) != get_batch_key(cfg())
    assert get_batch_key(cfg("trainer.max_epochs=5")) != get_batch_key(cfg())
    assert get_batch_key(cfg("model=ridge2")) == ""
    assert get_batch_key(cfg("trainer.profiler=simple")) == ""


def test_a_run_does_not_count_as_done_if_the_files_of_its_cohort_have_changed(tmp_path: Path, workbooks: Path):
    cohort = load_cohort(DataConfig("workbook", str(workbooks)))
    write_csv(cohort.scans, tmp_path / "c" / "scans.csv")
    cfg = load_config(TrainConfig, [f"data.root={tmp_path / 'c'}"])
    sweep = tmp_path / "s"
    jobs = [SweepJob(number, sweep / str(number), (), replace(cfg, seed=number), {}) for number in range(2)]
    for job in jobs:
        finish(job, data_hash=cohort.data_hash)
    assert reconcile(sweep, jobs) == []
    patients = cohort.scans["patient_id"]
    write_csv(cohort.scans[patients != patients.iloc[-1]], tmp_path / "c" / "scans.csv")
    assert reconcile(sweep, jobs) == jobs
    assert len(list((sweep / ".stale").iterdir())) == 2
    write_csv(cohort.scans, tmp_path / "c" / "scans.csv")
    assert reconcile(sweep, jobs) == []


def test_the_items_do_not_depend_on_the_jobs_that_are_done(tmp_path: Path):
    cfg = load_config(TrainConfig, ["evaluation=off"])
    jobs = [replace(build_job(seed, seed, tmp_path), cfg=replace(cfg, seed=seed)) for seed in range(8)]
    submitted: list[WorkItem] = []
    backend = SimpleNamespace(capacity=2, trains_and_finishes=True, num_finishers=2, submit=submitted.extend)
    Sweep(tmp_path / "s", cfg, backend).start(jobs, jobs)
    complete = {item.name for item in submitted if item.kind == "fits"}
    submitted.clear()
    again = Sweep(tmp_path / "again", cfg, backend)
    trained = build_items(jobs, 2)[0]
    for job in trained.jobs:
        write_text(job.directory / "checkpoints" / "fits" / f"{trained.name}.fits", "")
    again.start(jobs, jobs)
    assert len(complete) == 2
    assert {item.name for item in submitted if item.kind == "fits"} == complete - {trained.name}
    # the jobs of the item that is trained run at once, the others wait
    finishing = [job.number for item in submitted if item.kind == "jobs" for job in item.jobs]
    assert sorted(finishing) == [job.number for job in trained.jobs]


def test_the_result_of_an_ended_job_is_read_once_and_that_of_a_running_job_again(tmp_path: Path):
    jobs = [build_job(number, number, tmp_path) for number in range(2)]
    for job in jobs:
        finish(job, 0.6)
    statuses = {0: JobStatus("done"), 1: JobStatus("missing")}
    ended: dict[int, JobScores | None] = {}
    first = rank(jobs, statuses, "auroc", ended=ended)
    assert list(ended) == [0]
    for job in jobs:
        finish(job, 0.7)
    statuses[1] = JobStatus("done")
    board = rank(jobs, statuses, "auroc", ended=ended)
    assert [row["score"] for row in first.rows] == [0.6, None]
    assert {row["job"]: row["score"] for row in board.rows} == {0: 0.6, 1: 0.7}
    assert list(ended) == [0, 1]


def test_the_notes_name_keys_that_make_scores_incomparable(tmp_path: Path):
    def notes_on(*changes: dict[str, object]) -> str:
        jobs = [
            SweepJob(number, tmp_path / str(number), (), replace(CFG, **change), {})
            for number, change in enumerate(changes)
        ]
        for job in jobs:
            finish(job, 0.6)
        statuses = {job.number: JobStatus("done") for job in jobs}
        board = rank(jobs, statuses, "auroc")
        content = build_summary(CFG, jobs, board, tmp_path)
        return "\n".join(build_notes(jobs, board, content))

    rates = [{"optimizer": replace(CFG.optimizer, lr=lr)} for lr in (0.1, 0.2)]
    plain = notes_on(*rates)
    assert "differs" not in plain
    assert "a test score is not an independent check of the choice" in plain
    within = replace(CFG.evaluation, patients="train")
    assert "independent check" not in notes_on(*({**change, "evaluation": within} for change in rates))
    assert "seed differs between jobs" in notes_on({"seed": 0}, {"seed": 1})
    assert "evaluation differs between jobs" in notes_on({}, {"evaluation": within})
    assert "label differs between jobs" in notes_on({}, {"label": replace(CFG.label, relative=0.5)})
    held_out = {"split": replace(CFG.split, val_fraction=0.2)}
    assert "differs" not in notes_on({}, held_out)


def test_the_notes_name_different_validation_parts_and_versions(tmp_path: Path):
    jobs = [
        SweepJob(number, tmp_path / str(number), (), replace(CFG, split=replace(CFG.split, val_fraction=share)), {})
        for number, share in enumerate((0.1, 0.3))
    ]
    for job in jobs:
        finish(job, best_loss=0.5, versions={"torch": f"2.{job.number}"})
    board = rank(jobs, {job.number: JobStatus("done") for job in jobs}, "auroc")
    assert board.ranked_by == "val/loss"
    notes = "\n".join(build_notes(jobs, board, build_summary(CFG, jobs, board, tmp_path)))
    assert "split.val_fraction differs between jobs" in notes
    assert "versions differ between jobs" in notes
    assert "versions differ between jobs" not in "\n".join(
        build_notes(jobs[:1], board, build_summary(CFG, jobs[:1], board, tmp_path))
    )


def test_the_best_baseline_on_the_folds_of_the_best_job_is_named(tmp_path: Path):
    jobs = [
        SweepJob(number, tmp_path / str(number), (), replace(CFG, optimizer=replace(CFG.optimizer, lr=lr)), {})
        for number, lr in enumerate((0.1, 0.2))
    ]
    rows = [
        ComparedModel(model=name, is_model=name == "sacnn", auroc=build_score(value))
        for name, value in (("sacnn", 0.6), ("hours", 0.55), ("brain", 0.65))
    ]
    for job in jobs:
        finish(job, 0.6, comparison=rows)
    board = rank(jobs, {job.number: JobStatus("done") for job in jobs}, "auroc")
    content = build_summary(CFG, jobs, board, tmp_path)
    assert content["winner"]["baseline"]["model"] == "brain"
    notes = "\n".join(build_notes(jobs, board, content))
    assert "the best baseline on the same folds is brain: cv/auroc 0.650 (0.550 to 0.750)" in notes


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="this system closes terminals without a signal")
def test_a_closed_terminal_ends_a_sweep_unless_nohup_started_it():
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    try:
        assert get_ending_signals() == [signal.SIGTERM, signal.SIGHUP]
        signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup sets it
        assert get_ending_signals() == [signal.SIGTERM]
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_leak_is_in_the_leaderboard_and_in_the_notes_also_where_the_best_job_has_none(tmp_path: Path):
    jobs = [build_job(number, number, tmp_path) for number in range(2)]
    finish(jobs[0], 0.6)
    finish(jobs[1], 0.5, verdict=f"{LEAKAGE}: same_patient")
    board = rank(jobs, {job.number: JobStatus("done") for job in jobs}, "auroc")
    assert [row["verdict"] for row in board.rows] == ["NO_LEAKAGE_FOUND", "LEAKAGE: same_patient"]
    notes = "\n".join(build_notes(jobs, board, build_summary(CFG, jobs, board, tmp_path)))
    assert "LEAKAGE: same_patient in 1 job: one person has two ids" in notes


def test_the_notes_begin_with_the_conclusion_of_the_best_job_and_name_a_leak(tmp_path: Path):
    def first_notes(**changes: object) -> list[str]:
        job = build_job(0, 0, tmp_path)
        finish(job, 0.6, **changes)
        board = rank([job], {0: JobStatus("done")}, "auroc")
        return build_notes([job], board, build_summary(CFG, [job], board, tmp_path))[:2]

    assert first_notes(conclusion=BETTER)[0] == f"the best job, job 0, is {CONCLUSIONS[BETTER]}"
    _, verdict = first_notes(verdict=f"{LEAKAGE}: same_patient")
    assert verdict == "verdict of job 0: LEAKAGE: same_patient"
    conclusion, verdict = first_notes(conclusion=WORSE, verdict=f"{LEAKAGE}: test patients")
    assert conclusion == "the best job, job 0, is worse than a baseline"
    assert verdict == "verdict of job 0: LEAKAGE: test patients"


def test_an_item_on_two_gpus_stays_in_the_timeline(tmp_path: Path):
    item = WorkItem("fits", (build_job(0, 0, tmp_path), build_job(3, 3, tmp_path)))
    for _ in range(2):
        append_timeline(tmp_path, [ItemResult(item, "done", "", "node1 gpu 0,1", 10.12345, 12.0)])
    line = 'fits,0 3,"node1 gpu 0,1",10.123,12.0,done'
    assert (tmp_path / "timeline.csv").read_text().splitlines()[1:] == [line, line]


@pytest.mark.parametrize("content", [b"job,device\n0,cpu\n", b"config_hash,device\n\xff\xfe,cpu\n"])
def test_a_damaged_leaderboard_is_written_again(content: bytes, tmp_path: Path):
    (tmp_path / "leaderboard.csv").write_bytes(content)
    assert read_devices(tmp_path) == {}
