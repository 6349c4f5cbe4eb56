"""Which folder belongs to which job: by configuration, never by name."""

import json
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from hemexp.cohort.load import load_cohort
from hemexp.config import DataConfig, TrainConfig
from hemexp.config.compose import load_config
from hemexp.errors import UserError
from hemexp.files.writing import write_csv
from hemexp.sweep.controller import Sweep, ending_signals
from hemexp.sweep.directory import claim, note_loss, open_sweep, settle
from hemexp.sweep.plan.cost import could_share, count_epochs, estimate_cost
from hemexp.sweep.plan.job import SweepJob
from hemexp.sweep.results.leaderboard import Fate, rank
from hemexp.sweep.results.summary import build_summary, remarks

CFG = load_config(TrainConfig, [])


def job(number: int, seed: int, place: Path) -> SweepJob:
    return SweepJob(number, place / str(number), (f"seed={seed}",), replace(CFG, seed=seed), {"overrides.yaml": "[]\n"})


def finish(each: SweepJob, score: float | None = None, **more: object) -> None:
    claim(each)
    metrics = {} if score is None else {"cv/auroc": {"value": score, "low": score - 0.1, "high": score + 0.1}}
    result = {"config_hash": each.key, "status": "done", "metrics": metrics, **more}
    (each.folder / "result.json").write_text(json.dumps(result))
    (each.folder / "DONE").touch()


def seeds_in(place: Path) -> dict[str, str]:
    return {path.name: (path / "whose").read_text() for path in place.iterdir() if (path / "whose").is_file()}


def mark(each: SweepJob) -> None:
    (each.folder / "whose").write_text(each.overrides[0])


def test_a_run_follows_its_job_to_another_number(tmp_path: Path):
    for number, seed in enumerate((0, 1, 2)):
        finish(job(number, seed, tmp_path))
        mark(job(number, seed, tmp_path))
    grid = [job(number, seed, tmp_path) for number, seed in enumerate((2, 3, 0))]
    assert [each.number for each in settle(tmp_path, grid)] == [1]
    assert seeds_in(tmp_path) == {"0": "seed=2", "2": "seed=0"}
    assert list(seeds_in(tmp_path / ".stale").values()) == ["seed=1"]
    back = [job(0, 1, tmp_path)]
    assert settle(tmp_path, back) == []
    assert seeds_in(tmp_path) == {"0": "seed=1"}


def test_nothing_is_deleted_and_nothing_is_mixed(tmp_path: Path):
    begun, finished, unknown = (job(number, number, tmp_path) for number in range(3))
    claim(begun)
    finish(finished)
    for each in (begun, finished):
        mark(each)
    unknown.folder.mkdir()
    (unknown.folder / "whose").write_text("nobody's")
    others = [job(number, 10 + number, tmp_path) for number in range(3)]
    assert settle(tmp_path, others) == others
    assert not [path for path in tmp_path.iterdir() if path.name.isdecimal()]
    assert sorted(seeds_in(tmp_path / ".stale").values()) == ["nobody's", "seed=0", "seed=1"]
    assert settle(tmp_path, [begun, finished, unknown]) == [begun, unknown]
    assert seeds_in(tmp_path) == {"0": "seed=0", "1": "seed=1"}


def test_a_move_that_was_cut_short_is_made_good(tmp_path: Path):
    one, other = job(0, 0, tmp_path), job(1, 1, tmp_path)
    finish(one)
    finish(other)
    (tmp_path / ".stale").mkdir()
    one.folder.rename(tmp_path / ".stale" / "killed-here")
    assert settle(tmp_path, [job(0, 1, tmp_path), job(1, 0, tmp_path)]) == []
    assert not list((tmp_path / ".stale").iterdir())


def test_a_result_that_cannot_be_read_is_no_reason_to_stop(tmp_path: Path):
    each = job(0, 0, tmp_path)
    finish(each)
    (each.folder / "result.json").write_text("{half a")
    assert settle(tmp_path, [each]) == []  # .hydra/config_hash tells whose it is, and DONE that it is whole
    assert rank([each], {0: Fate("done")}, "auroc").ranked_by is None


def test_two_sweeps_cannot_write_into_one_directory(tmp_path: Path):
    place = open_sweep(tmp_path / "s")
    code = (
        "import sys; from pathlib import Path; from hemexp.sweep.directory import open_sweep; "
        "open_sweep(Path(sys.argv[1]))"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "s")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "UserError: hydra.sweep.dir=" in done.stderr
    assert "another process is writing there" in done.stderr
    place.release()


def test_a_file_in_the_place_of_the_directory_is_refused(tmp_path: Path):
    (tmp_path / "s").touch()
    with pytest.raises(UserError, match=r"hydra\.sweep\.dir="):
        open_sweep(tmp_path / "s")


def test_a_loss_is_written_down_in_the_jobs_own_folder(tmp_path: Path):
    each = job(0, 0, tmp_path)
    claim(each)
    note_loss(each, "killed", "its process was ended by SIGKILL")
    assert "SIGKILL" in (each.folder / "FAILED").read_text()
    assert "SIGKILL" in (each.folder / "train.log").read_text()


def test_ranking_puts_the_best_first_and_what_has_no_score_last(tmp_path: Path):
    jobs = [job(number, number, tmp_path) for number in range(4)]
    for each, score in zip(jobs[:3], (0.5, 0.7, None), strict=True):
        finish(each, score)
    fates = {0: Fate("done"), 1: Fate("done"), 2: Fate("done"), 3: Fate("killed", "SIGKILL")}
    board = rank(jobs, fates, "auroc")
    assert [(row["rank"], row["job"]) for row in board.rows] == [(1, 1), (2, 0), (None, 2), (None, 3)]
    assert board.ranked_by == "cv/auroc"
    assert board.rows[3]["message"] == "SIGKILL"
    by_loss = [replace(each, cfg=replace(each.cfg, split=replace(CFG.split, val_fraction=0.2))) for each in jobs[:2]]
    for each, loss in zip(by_loss, (0.6, 0.4), strict=True):
        finish(each, None, best_loss=loss)
    board = rank(by_loss, fates, "auroc")
    assert (board.ranked_by, board.lower_is_better) == ("val/loss", True)
    assert [row["job"] for row in board.rows] == [1, 0]
    low = [replace(each, cfg=CFG) for each in jobs[:2]]
    for each, score in zip(low, (0.5, 0.7), strict=True):
        finish(each, None, metrics={"cv/brier": {"value": score, "low": 0.1, "high": 0.9}})
    assert [row["job"] for row in rank(low, fates, "brier").rows] == [0, 1]


def test_the_work_of_a_job_is_guessed_in_the_right_order():
    def cfg(*overrides: str) -> TrainConfig:
        return load_config(TrainConfig, list(overrides))

    assert count_epochs(cfg("evaluation=off")) == 1000
    assert count_epochs(cfg()) == 1000 * (1 + 5 * 24)
    assert count_epochs(cfg("model=ridge2", "evaluation=off")) == 1
    costs = [estimate_cost(cfg("evaluation=off", *each)) for each in (["model=ridge2"], [], ["model.kernel_size=7"])]
    assert costs == sorted(costs)
    assert could_share(cfg("seed=1", "optimizer.lr=0.01", "split.val_fraction=0.1")) == could_share(cfg())
    assert could_share(cfg("model.kernel_size=5")) != could_share(cfg())
    assert could_share(cfg("trainer.max_epochs=5")) != could_share(cfg())
    assert could_share(cfg("model=ridge2")) == ""
    assert could_share(cfg("trainer.profiler=simple")) == ""


def test_a_run_on_files_that_have_changed_since_is_not_taken_for_done(tmp_path: Path, workbooks: Path):
    cohort = load_cohort(DataConfig("workbook", str(workbooks)))
    write_csv(cohort.scans, tmp_path / "c" / "scans.csv")
    cfg = load_config(TrainConfig, [f"data.root={tmp_path / 'c'}"])
    sweep = tmp_path / "s"
    jobs = [SweepJob(number, sweep / str(number), (), replace(cfg, seed=number), {}) for number in range(2)]
    for each in jobs:
        finish(each, data_hash=cohort.data_hash)
    assert settle(sweep, jobs) == []
    patients = cohort.scans["patient_id"]
    write_csv(cohort.scans[patients != patients.iloc[-1]], tmp_path / "c" / "scans.csv")
    assert settle(sweep, jobs) == jobs
    assert len(list((sweep / ".stale").iterdir())) == 2
    write_csv(cohort.scans, tmp_path / "c" / "scans.csv")
    assert settle(sweep, jobs) == []


def test_who_is_trained_together_does_not_depend_on_who_is_done(tmp_path: Path):
    jobs = [job(number, number, tmp_path) for number in range(8)]
    place = replace(CFG, where=replace(CFG.where, num_workers=2))
    sweep = Sweep(tmp_path, place, [])
    try:
        whole = [[each.number for each in batch.jobs] for batch in sweep._batches(jobs, jobs)]
        left = [[each.number for each in batch.jobs] for batch in sweep._batches(jobs[2:], jobs)]
    finally:
        sweep.backend.close()
    assert whole == [[0, 1, 2, 3], [4, 5, 6, 7]]
    assert left == [[2, 3], [4, 5, 6, 7]]


def test_a_ranking_says_what_it_cannot_choose(tmp_path: Path):
    def remarks_on(*changes: dict[str, object]) -> str:
        jobs = [
            SweepJob(number, tmp_path / str(number), (), replace(CFG, **change), {})
            for number, change in enumerate(changes)
        ]
        for each in jobs:
            finish(each, 0.6, verdict="HONEST")
        fates = {each.number: Fate("done") for each in jobs}
        board = rank(jobs, fates, "auroc")
        content = build_summary(CFG, jobs, board, tmp_path)
        return "\n".join(remarks(jobs, board, content, {"verdict": "HONEST"}))

    rates = [{"optimizer": replace(CFG.optimizer, lr=lr)} for lr in (0.1, 0.2)]
    plain = remarks_on(*rates)
    assert "differs" not in plain
    assert "a test score is no check of the choice" in plain
    within = replace(CFG.evaluation, patients="train")
    assert "no check" not in remarks_on(*({**each, "evaluation": within} for each in rates))
    assert "seed differs" in remarks_on({"seed": 0}, {"seed": 1})
    assert "evaluation differs" in remarks_on({}, {"evaluation": within})
    assert "label differs" in remarks_on({}, {"label": replace(CFG.label, relative=0.5)})
    held_out = {"split": replace(CFG.split, val_fraction=0.2)}
    assert "differs" not in remarks_on({}, held_out)


def test_losses_of_different_patients_and_runs_of_other_versions_choose_nothing_unsaid(tmp_path: Path):
    jobs = [
        SweepJob(number, tmp_path / str(number), (), replace(CFG, split=replace(CFG.split, val_fraction=share)), {})
        for number, share in enumerate((0.1, 0.3))
    ]
    for each in jobs:
        finish(each, best_loss=0.5, verdict="HONEST", versions={"torch": f"2.{each.number}"})
    board = rank(jobs, {each.number: Fate("done") for each in jobs}, "auroc")
    assert board.ranked_by == "val/loss"
    said = "\n".join(remarks(jobs, board, build_summary(CFG, jobs, board, tmp_path), {"verdict": "HONEST"}))
    assert "split.val_fraction differs" in said
    assert "versions differ" in said
    assert "versions differ" not in "\n".join(
        remarks(jobs[:1], board, build_summary(CFG, jobs[:1], board, tmp_path), {"verdict": "HONEST"})
    )


def test_the_best_job_stands_beside_the_best_baseline_on_its_folds(tmp_path: Path):
    jobs = [
        SweepJob(number, tmp_path / str(number), (), replace(CFG, optimizer=replace(CFG.optimizer, lr=lr)), {})
        for number, lr in enumerate((0.1, 0.2))
    ]
    rows = [
        {"model": name, "is_model": name == "sacnn", "auroc": {"value": value, "low": value - 0.1, "high": value + 0.1}}
        for name, value in (("sacnn", 0.6), ("hours", 0.55), ("brain", 0.65))
    ]
    for each in jobs:
        finish(each, 0.6, verdict="HONEST", comparison=rows)
    board = rank(jobs, {each.number: Fate("done") for each in jobs}, "auroc")
    content = build_summary(CFG, jobs, board, tmp_path)
    assert content["winner"]["baseline"]["model"] == "brain"
    said = "\n".join(remarks(jobs, board, content, {"verdict": "HONEST"}))
    assert "the best baseline on its folds, brain: cv/auroc 0.650 (0.550 to 0.750)" in said


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="this system closes terminals without a signal")
def test_a_closed_terminal_ends_a_sweep_but_not_one_under_nohup():
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    try:
        assert ending_signals() == [signal.SIGTERM, signal.SIGHUP]
        signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup leaves it
        assert ending_signals() == [signal.SIGTERM]
    finally:
        signal.signal(signal.SIGHUP, before)
