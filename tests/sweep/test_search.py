"""Random search and TPE, on a backend that does not run the jobs."""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from fake_results import NO_LEAKAGE_FOUND, write_fake_result
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.types import RunMode
from optuna.trial import TrialState
from small import ROOT

from hemexp.cohort.synthetic import write_workbooks
from hemexp.config import SyntheticDataConfig
from hemexp.config.compose import CONFIG_DIR, register_schemas
from hemexp.errors import Pruned, UserError
from hemexp.evaluation.cross_validation import corrected_t_test
from hemexp.files.result import Score
from hemexp.files.run_directory import RunDirectory
from hemexp.files.writing import write_text
from hemexp.sweep.backends.base import ItemResult, WorkItem
from hemexp.sweep.backends.pruning import build_score_callback
from hemexp.sweep.plan.job import SweepJob
from hemexp.sweep.plan.search import Search
from hemexp.sweep.run_search import run_search
from hemexp.sweep.study import Study, check_journal

Act = Callable[[SweepJob], str]  # runs a job, and returns its outcome
C, LOG_C = "model.C", "model.C=tag(log,interval(0.001,1000))"
LOGISTIC = ["model=logistic", "trainer.progress_bar=false", "evaluation.num_repeats=10"]


class FakeBackend:
    """A backend that runs an item in this process when `wait` is called; job `last` runs after all others."""

    trains_and_finishes, num_finishers = True, 1

    def __init__(self, act: Act, capacity: int = 1, last: int | None = None) -> None:
        self.act, self.capacity, self.last = act, capacity, last
        self.waiting: list[WorkItem] = []
        self.most_waiting = 0

    idle = property(lambda self: not self.waiting)

    def submit(self, items: Sequence[WorkItem]) -> None:
        self.waiting += items
        self.most_waiting = max(self.most_waiting, len(self.waiting))

    def wait(self, seconds: float) -> list[ItemResult]:
        if not self.waiting:
            return []
        item = next((item for item in self.waiting if item.jobs[0].number != self.last), self.waiting[0])
        outcome = self.act(item.jobs[0])
        self.waiting.remove(item)
        return [ItemResult(item, outcome, "" if outcome == "done" else "as planned", "here")]

    def stop(self) -> None:
        self.waiting.clear()

    def close(self) -> None:
        self.waiting.clear()


def write_finished(job: SweepJob, score: float, test: float = 0.5) -> str:
    """Write the files of a finished job that a search reads."""
    scores = {"cv/auroc": score, "test/auroc": test}
    metrics = {name: Score(value=float(value), low=0.0, high=1.0) for name, value in scores.items()}
    write_fake_result(job, metrics=metrics)
    write_text(job.directory / "DONE", f"{NO_LEAKAGE_FOUND}\n")
    return "done"


def peak(job: SweepJob) -> str:
    """Score 1 at C = 1, and 0 at both ends of the interval."""
    return write_finished(job, 1 - abs(np.log10(job.cfg.model.C)) / 3)


@pytest.fixture
def prepare(tmp_path: Path) -> Callable[..., Search]:
    """Make a search as the command line would."""
    register_schemas()

    def make(*arguments: str, params: dict[str, Any] | None = None, name: str = "sweep") -> Search:
        given = [f"hydra.sweep.dir={tmp_path / name}", *LOGISTIC, *arguments]
        with initialize_config_dir(config_dir=str(CONFIG_DIR), version_base="1.3"):
            loader = GlobalHydra.instance().config_loader()
            config = loader.load_configuration("train", given, run_mode=RunMode.MULTIRUN)
            return Search(config, loader, list(config.hydra.overrides.task), params)

    return make


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[bool, dict[str, Any], pd.DataFrame]]:
    """Run a search on a fake backend; return whether all jobs were done, sweep.json and the leaderboard."""

    def run_trials(
        search: Search, act: Act = peak, backend: FakeBackend | None = None
    ) -> tuple[bool, dict[str, Any], Any]:
        monkeypatch.setattr("hemexp.sweep.controller.build_backend", lambda cfg, directory: backend or FakeBackend(act))
        done = run_search(search)
        content = json.loads((search.directory / "sweep.json").read_text())
        table = pd.read_csv(search.directory / "leaderboard.csv", dtype={"folder": str})
        return done, content, table.sort_values("job", ignore_index=True)

    return run_trials


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["search=random", "evaluation=off"], "evaluation=off: search=random chooses by cross-validation"),
        (["search=random", "evaluation.num_repeats=0"], "num_repeats=0: "),
        (["search=tpe", "evaluation.patients=labelled"], "must not see the test part"),
        (["search=tpe", "hydra/launcher=basic"], "hydra/launcher=basic: is not for search=tpe"),
        (["hydra/sweeper=hemexp"], "give search=random or search=tpe"),
        (["search=random", "split.fold=0,1"], "split=paper has no folds"),
        (["search=random", "split=kfold", "split.fold=3,5"], r"split\.fold=5: must be below split\.num_folds=5"),
    ],
)
def test_a_search_that_would_use_the_test_part_is_refused_before_anything_is_written(
    prepare: Callable[..., Search], arguments: list[str], words: str, tmp_path: Path
):
    with pytest.raises(UserError, match=words):
        prepare(LOG_C, *arguments)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("override", "words"),
    [("model.CC=1,2", "CC"), ("model.C=1.0,many", "many"), ("features=minimal,maximal", "maximal")],
)
def test_a_misspelled_key_or_value_is_refused_and_not_a_failed_trial(
    prepare: Callable[..., Search], override: str, words: str, tmp_path: Path
):
    with pytest.raises(Exception, match=words):
        prepare("search=random", override)
    assert not list(tmp_path.iterdir())


def test_without_optuna_the_message_names_the_extra_to_install(
    prepare: Callable[..., Search], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("hemexp.sweep.plan.search.find_spec", lambda name: None)
    with pytest.raises(UserError, match=r'pip install "hemexp\[search\]"'):
        prepare("search=tpe", LOG_C)


def test_random_search_chooses_within_the_training_part_and_reports_the_test_part(
    prepare: Callable[..., Search], run: Callable[..., Any]
):
    seen = []

    def act(job: SweepJob) -> str:
        seen.append(job)
        return write_finished(job, 0.9 if job.number == 2 else 0.4, test=0.61)

    done, content, table = run(prepare("search=random", "search.num_trials=4", LOG_C), act)
    assert done
    assert [job.number for job in seen] == [0, 1, 2, 3]
    assert {job.cfg.evaluation.patients for job in seen} == {"train"}
    assert table[C].between(0.001, 1000).all()
    tested = {"auroc": {"value": 0.61, "low": 0.0, "high": 1.0}}
    assert content["nested"] == {"winner": 2, "test": tested, "reports": 1}
    assert content["ranked_by"] == "cv/auroc"


@pytest.mark.parametrize("name", ["random", "tpe"])
def test_a_trial_that_breaks_a_rule_is_a_failed_job_and_does_not_end_the_search(
    prepare: Callable[..., Search], run: Callable[..., Any], name: str
):
    sizes = ["model=attention", "model.num_heads=1,3"]
    search = prepare(f"search={name}", *sizes)
    done, _, table = run(search, lambda job: write_finished(job, 0.5))
    assert not done
    broken = table["model.num_heads"] == 3
    assert broken.sum() == 1
    assert table["status"].tolist() == ["failed" if each else "done" for each in broken]
    assert table.loc[broken, "message"].str.contains("num_heads").all()
    again = run(prepare(f"search={name}", *sizes), lambda job: pytest.fail("nothing is left to run"))[2]
    assert again["status"].tolist() == table["status"].tolist()


def test_the_seconds_of_a_sweep_count_from_the_start_of_its_check(
    prepare: Callable[..., Search], run: Callable[..., Any]
):
    before = time.monotonic()
    search = prepare("search=random", LOG_C)
    assert before < search.began < time.monotonic()
    search.began -= 100
    assert 100 < run(search)[1]["seconds"] < 200


def test_tpe_draws_the_same_settings_for_the_same_seed(prepare: Callable[..., Search], run: Callable[..., Any]):
    options = ["search=tpe", "search.num_trials=3", LOG_C]
    table = run(prepare(*options))[2]
    again = run(prepare(*options, name="again"))[2]
    other = run(prepare(*options, "search.seed=1", name="other"))[2]
    assert table[C].tolist() == again[C].tolist()
    assert not set(again[C]) & set(other[C])


@pytest.mark.parametrize(("score", "sign"), [("auroc", -1), ("brier", 1)])
def test_tpe_draws_where_earlier_settings_scored_well(prepare: Callable[..., Search], score: str, sign: int):
    search = prepare("search=tpe", f"search.score={score}", LOG_C)
    search.directory.mkdir()
    study, distances = Study(search, 0), []
    for number in range(60):
        assert study.ask() == number
        distances.append(abs(np.log10(study.trials[number].params[C])))
        study.tell(number, "done", sign * distances[-1])
    assert np.mean(distances[20:]) < 1.0  # drawn at random, their mean would be 1.5, with a standard error of 0.14


def test_the_first_record_of_a_trial_stays(prepare: Callable[..., Search]):
    search = prepare("search=tpe", LOG_C)
    search.directory.mkdir()
    study = Study(search, 0)
    number = study.ask()
    study.tell(number, "done", 0.7)
    study.tell(number, "killed", None)
    for same in (study, Study(search, 0)):
        assert {job: trial.state for job, trial in same.trials.items()} == {number: TrialState.COMPLETE}


def test_a_free_worker_does_not_wait_for_a_slow_one(prepare: Callable[..., Search], run: Callable[..., Any]):
    order: list[int] = []

    def act(job: SweepJob) -> str:
        order.append(job.number)
        return peak(job)

    backend = FakeBackend(act, capacity=3, last=0)
    run(prepare("search=tpe", "search.num_trials=5", LOG_C), backend=backend)
    assert sorted(order) == list(range(5))
    assert order[-1] == 0
    assert backend.most_waiting == 3


def test_lost_jobs_do_not_affect_the_others_and_run_again_with_their_settings(
    prepare: Callable[..., Search], run: Callable[..., Any]
):
    outcomes = {0: "failed", 2: "killed", 3: "timeout"}
    options = ["search=tpe", "search.num_trials=4", LOG_C]
    done, content, table = run(prepare(*options), lambda job: outcomes.get(job.number) or peak(job))
    assert not done
    assert table["status"].tolist() == ["failed", "done", "killed", "timeout"]
    assert content["status"] == "failed"
    ran = []

    def act(job: SweepJob) -> str:
        ran.append(job.number)
        return peak(job)

    done, _, again = run(prepare(*options), act)
    assert done
    assert ran == [0, 2, 3]
    assert again[C].tolist() == table[C].tolist()


@pytest.mark.parametrize("how", [KeyboardInterrupt, SystemExit])
def test_an_interrupted_search_continues_with_the_same_settings(
    prepare: Callable[..., Search], run: Callable[..., Any], how: type[BaseException], tmp_path: Path
):
    options = ["search=tpe", "search.num_trials=4", LOG_C]
    straight = run(prepare(*options, name="straight"))[2]
    ran: list[int] = []

    def act(job: SweepJob) -> str:
        if job.number == 2 and 2 not in ran:
            ran.append(2)
            raise how
        ran.append(job.number)
        return peak(job)

    if how is SystemExit:  # as if the process had died, without a record in the study
        with pytest.raises(SystemExit):
            run(prepare(*options), act)
    else:
        assert run(prepare(*options), act)[1]["status"] == "interrupted"
    before = [path.stat().st_mtime_ns for path in sorted(tmp_path.glob("sweep/[01]/DONE"))]
    done, content, table = run(prepare(*options), act)
    assert done
    assert ran == [0, 1, 2, 2, 3]
    assert table[C].tolist() == straight[C].tolist()  # an interruption does not change the settings
    assert content["skipped"] == 2
    assert before == [path.stat().st_mtime_ns for path in sorted(tmp_path.glob("sweep/[01]/DONE"))]


def test_a_search_with_more_trials_continues_from_the_earlier_ones(
    prepare: Callable[..., Search], run: Callable[..., Any]
):
    first = run(prepare("search=tpe", "search.num_trials=2", LOG_C))[2]
    _, content, table = run(prepare("search=tpe", "search.num_trials=3", LOG_C))
    assert content["skipped"] == 2
    assert table[C].tolist()[:2] == first[C].tolist()
    assert len(set(table[C])) == 3


@pytest.mark.parametrize("name", ["random", "tpe"])
def test_a_complete_search_reports_the_test_part_and_counts_its_reports(
    prepare: Callable[..., Search], run: Callable[..., Any], name: str, capsys: pytest.CaptureFixture[str]
):
    def run_trials(num_trials: int, act: Act = peak) -> tuple[dict[str, Any] | None, str, list[int]]:
        search = prepare(f"search={name}", f"search.num_trials={num_trials}", LOG_C)
        nested = run(search, act)[1]["nested"]
        reports = json.loads((search.directory / "search.json").read_text())["reports"]
        return nested, capsys.readouterr().out, reports

    def stop(job: SweepJob) -> str:
        if job.number > 1:
            raise KeyboardInterrupt
        return peak(job)

    nested, output, reports = run_trials(3, stop)
    assert nested is None
    assert "the test part is reported once the search is complete" in output
    assert "which was not used in the search" not in output
    assert reports == []
    for _ in range(2):  # the second time runs nothing, and prints the same
        nested, output, reports = run_trials(3)
        assert nested is not None
        assert nested["reports"] == 1
        assert "on the test part, which was not used in the search: auroc 0.500" in output
        assert "report of the test part" not in output
        assert reports == [3]
    nested, output, reports = run_trials(4, stop)
    assert nested is None
    assert reports == [3]
    for number, times in ((5, "2nd"), (6, "3rd")):
        nested, output, reports = run_trials(number)
        assert nested is not None
        assert nested["reports"] == len(reports)
        assert "which was not used in the search" not in output
        line = f"LEAKAGE: tuning_on_test: this is the {times} report of the test part: continuing a search after seeing"
        assert line in output
    assert reports == [3, 5, 6]


def test_a_journal_with_an_incomplete_last_line_is_read(prepare: Callable[..., Search], run: Callable[..., Any]):
    first = run(prepare("search=tpe", "search.num_trials=2", LOG_C))[2]
    with (prepare("search=tpe", LOG_C).directory / "study.log").open("ab") as journal:
        journal.write(b'{"op_code":4,"wor')
    table = run(prepare("search=tpe", "search.num_trials=3", LOG_C))[2]
    assert table[C].tolist()[:2] == first[C].tolist()
    assert table["status"].tolist() == ["done"] * 3


def test_another_search_in_the_same_directory_is_refused(prepare: Callable[..., Search], run: Callable[..., Any]):
    run(prepare("search=tpe", "search.num_trials=1", LOG_C))
    for others, words in (
        ([LOG_C, "search.seed=1"], r"search\.seed=0 there, 1 here"),
        (["model.C=tag(log,interval(0.001,10))"], r"space\.model\.C=.*1000.* there, .*10.* here"),
        ([LOG_C, "features=minimal"], r"settings\.features\.name=paper there, minimal here"),
        ([LOG_C, "search=random"], r"search\.name=tpe there, random here"),
    ):
        with pytest.raises(UserError, match=words):
            prepare("search=tpe", "search.num_trials=1", *others)


def test_tpe_is_refused_if_the_files_of_the_cohort_have_changed(prepare: Callable[..., Search], tmp_path: Path):
    one, other = (SyntheticDataConfig("synthetic", num_patients=20, num_unlabelled=0, seed=seed) for seed in (0, 1))
    write_workbooks(one, tmp_path / "cohort")
    options = ["search=tpe", "search.num_trials=1", LOG_C, f"data.root={tmp_path / 'cohort'}"]
    (tmp_path / "sweep").mkdir()
    prepare(*options).write_identity()
    assert prepare(*options).reports == []
    write_workbooks(other, tmp_path / "cohort")
    with pytest.raises(UserError, match=r"settings\.data_hash=\w+ there"):
        prepare(*options)


def test_tpe_is_refused_if_the_code_of_the_user_was_edited(
    prepare: Callable[..., Search], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.syspath_prepend(tmp_path)
    file, options = tmp_path / "tpe_metrics.py", ["search=tpe", "search.num_trials=1", LOG_C]
    file.write_text("def share(labels, probabilities):\n    return labels.mean()\n")
    (tmp_path / "sweep").mkdir()
    prepare(*options, "metrics=tpe_metrics.share").write_identity()
    assert prepare(*options, "metrics=tpe_metrics.share").reports == []
    file.write_text("def share(labels, probabilities):\n    return 1 - labels.mean()\n")
    del sys.modules["tpe_metrics"]
    with pytest.raises(UserError, match=r"tpe_metrics\.py was edited after this search began.* or undo the edit"):
        prepare(*options, "metrics=tpe_metrics.share")


def test_a_job_below_the_median_is_pruned_and_does_not_run_again(
    prepare: Callable[..., Search], run: Callable[..., Any]
):
    repeats: dict[int, int] = {}

    def act(job: SweepJob) -> str:
        report_score = build_score_callback(job)
        level = 0.3 if job.number == 6 else 0.6 + job.number / 100
        try:
            for repeat in range(1, 11):
                repeats[job.number] = repeat
                report_score(repeat, level + repeat / 1000)
        except Pruned as end:
            write_fake_result(job, status="running")
            RunDirectory(job.directory).fail("pruned", str(end))
            return "pruned"
        return write_finished(job, level)

    options = ["search=tpe", "search.num_trials=8", LOG_C]
    done, content, table = run(prepare(*options), act)
    assert done  # a pruned job is not a failure
    assert repeats == {number: 2 if number == 6 else 10 for number in range(8)}
    assert table["status"].tolist() == ["done"] * 6 + ["pruned", "done"]
    assert np.isnan(table["score"][6])
    assert content["winner"]["job"] == 7
    again = run(prepare(*options), lambda job: pytest.fail("a pruned job is not run again"))[2]
    assert again["status"].tolist() == table["status"].tolist()


def test_a_job_that_is_not_a_trial_has_no_score_callback(prepare: Callable[..., Search]):
    assert build_score_callback(prepare("search=random", LOG_C).build_job(0, {"model.C": 1.0})) is None


@pytest.mark.parametrize("name", ["random", "tpe"])
def test_nested_cross_validation_searches_each_fold_and_scores_its_winner_there(
    prepare: Callable[..., Search], run: Callable[..., Any], name: str
):
    rng = np.random.default_rng(0)

    def act(job: SweepJob) -> str:
        labels = np.repeat([1, 0], [6, 14])
        table = {"patient_id": range(20), "role": "test", "label": labels, "probability": rng.random(20) / 2}
        job.directory.mkdir(parents=True, exist_ok=True)
        pd.DataFrame(table).to_csv(job.directory / "predictions.csv", index=False)
        return write_finished(job, 1 - abs(np.log10(job.cfg.model.C)) / 3, test=0.6 + job.cfg.split.fold / 50)

    folds = ["split=kfold", "split.fold=0,1,2,3,4"]
    done, content, table = run(prepare(f"search={name}", "search.num_trials=3", LOG_C, *folds), act)
    assert done
    assert len(table) == 15
    assert (table.groupby("split.fold").size() == 3).all()
    nested = content["nested"]
    assert [fold["fold"] for fold in nested["folds"]] == [0, 1, 2, 3, 4]
    for fold in nested["folds"]:
        trials = table[table["split.fold"] == fold["fold"]]
        assert fold["chosen_by"] == trials["score"].max()
        assert fold["winner"] == trials.loc[trials["score"].idxmax(), "job"]
        assert fold["test"] == pytest.approx(0.6 + fold["fold"] / 50)
    values = np.array([fold["test"] for fold in nested["folds"]])
    corrected = corrected_t_test(values, 20 / 80)
    assert nested["value"] == pytest.approx(values.mean())
    # at least as wide as the folds differ, and as this number of patients requires
    assert nested["low"] < corrected.low
    assert corrected_t_test(values - 0.5, 20 / 80).p < nested["p"] < 1
    if name == "random":
        assert table.groupby("split.fold")[C].apply(list).map(tuple).nunique() == 1
    else:
        assert table.groupby("split.fold")[C].apply(list).map(tuple).nunique() == 5


@pytest.mark.slow
def test_a_search_from_the_command_line_continues_after_a_kill_and_does_not_use_the_test_part(
    run_command: Callable[..., Any], workbooks: Path, tmp_path: Path
):
    short = ["trainer.progress_bar=false", "evaluation.num_repeats=2", "evaluation.threshold_repeats=1"]
    command = ["-m", "search=tpe", "search.num_trials=4", f"data.root={workbooks}", "model=logistic", *short]
    command += ["features=minimal,admission", LOG_C, f"hydra.sweep.dir={tmp_path / 'sweep'}"]
    sweep = tmp_path / "sweep"
    with subprocess.Popen([sys.executable, str(ROOT / "train.py"), *command], cwd=tmp_path) as process:
        until = time.monotonic() + 200
        while not (sweep / "1" / "result.json").is_file() and time.monotonic() < until:
            time.sleep(0.1)
        process.kill()
    overrides = {each: (sweep / each / ".hydra" / "overrides.yaml").read_text() for each in ("0", "1")}
    ended = run_command("train.py", *command)
    assert ended.returncode == 0, ended.stderr
    assert overrides == {each: (sweep / each / ".hydra" / "overrides.yaml").read_text() for each in ("0", "1")}
    board = pd.read_csv(sweep / "leaderboard.csv")
    assert board["status"].tolist() == ["done"] * 4
    # the test score of the winner is in sweep.json
    assert not [name for name in board.columns if name.startswith("test/")]
    assert not (sweep / ".stale").exists()
    content = json.loads((sweep / "sweep.json").read_text())
    best = sweep / str(content["nested"]["winner"])
    assert board["job"][0] == content["nested"]["winner"]
    assert "the test part, which was not used in the search" in ended.stdout
    parts = json.loads((best / "splits.json").read_text())
    seen = pd.read_csv(best / "cv_predictions.csv", dtype={"patient_id": str})["patient_id"]
    assert set(seen) == set(parts["train"])
    assert not set(seen) & set(parts["test"])


@pytest.mark.nightly
def test_networks_that_do_not_learn_are_pruned(run_command: Callable[..., Any], tmp_path: Path):
    """The lowest learning rate is 1e-9: the network does not change, and its running score is low."""
    data = ["data=synthetic", "data.num_patients=80", "data.signal=4", "features=admission", "model=mlp"]
    short = ["trainer.max_epochs=40", "evaluation.num_repeats=5", "evaluation.threshold_repeats=0"]
    space = ["search=tpe", "search.num_trials=10", "optimizer.lr=tag(log,interval(1e-9,1e-2))"]
    ended = run_command("train.py", "-m", *data, *short, *space, "where.num_workers=1", "hydra.sweep.dir=s")
    assert ended.returncode == 0, ended.stderr
    board = pd.read_csv(tmp_path / "s" / "leaderboard.csv")
    pruned, done = (board[board["status"] == status] for status in ("pruned", "done"))
    assert len(pruned) + len(done) == 10
    assert len(pruned)
    assert pruned["optimizer.lr"].median() < done["optimizer.lr"].median()
    for job in pruned["job"]:
        assert "worse than the median" in (tmp_path / "s" / str(job) / "train.log").read_text()
        assert not (tmp_path / "s" / str(job) / "DONE").exists()
    assert board["rank"].notna().equals(board["status"] == "done")


def test_a_search_needs_no_m_flag(run_command: Callable[..., Any], tmp_path: Path):
    ended = run_command("train.py", "search=random")
    assert ended.returncode == 2
    assert "a search needs a key to choose" in ended.stderr
    assert not list(tmp_path.iterdir())


def test_two_values_that_are_the_same_run_are_tried_once(
    prepare: Callable[..., Search], capsys: pytest.CaptureFixture[str]
):
    search = prepare("search=random", f"{C}=0.5,1,1.0")
    assert str(search.space.settings[C]) == "0.5,1"
    assert f"{C}=1.0: is the same run as {C}=1; it is tried once" in capsys.readouterr().err
    with pytest.raises(UserError, match="one and the same run"):
        prepare("search=random", "trainer.checkpoint_every=5,6")


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"search": 3, "space": {}, "folds": "", "settings": {}}'])
def test_a_damaged_record_of_a_search_is_named(prepare: Callable[..., Search], content: str, tmp_path: Path):
    (tmp_path / "sweep").mkdir()
    (tmp_path / "sweep" / "search.json").write_text(content)
    with pytest.raises(UserError, match=r"search\.json: is not as train\.py writes it: .*choose a new directory"):
        prepare("search=random", LOG_C)


def test_a_damaged_journal_of_a_search_is_named(tmp_path: Path):
    (tmp_path / "study.log").write_text('{"op_code": 0}\nedited\n')
    with pytest.raises(UserError, match=r"study\.log: line 2 is damaged"):
        check_journal(tmp_path)
