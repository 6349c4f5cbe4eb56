"""The page of a sweep: its sections, its texts, and the messages about damaged files."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from fake_sweep import GRID, scored, sweep_json, write_sweep
from test_report_page import words

from hemexp.commands.report import report
from hemexp.config import ReportConfig
from hemexp.config.compose import load_config
from hemexp.errors import UserError
from hemexp.report.sweep.choice import compared_rows, standard_error
from hemexp.report.sweep.effects import effects
from hemexp.report.sweep.files import read_sweep
from hemexp.report.sweep.page import render_sweep

SEEDS = {"model.kernel_size": ["3", "5"], "seed": ["0", "1", "2"]}


def page(path: Path, patients: bool = False) -> str:
    """Return the page without its figures."""
    sweep = read_sweep(path)
    return render_sweep(sweep, effects(sweep.ranked, sweep.swept, sweep.luck), {}, patients)


def part(html: str, anchor: str) -> str:
    """Return the text of one section."""
    (html_part,) = re.findall(rf'<section id="{anchor}">(.*?)</section>', html, flags=re.DOTALL)
    return words(html_part)


def test_the_report_writes_the_page_and_figures_and_changes_no_other_file(tmp_path: Path):
    sweep = write_sweep(tmp_path / "sweep")
    before = {path: path.read_bytes() for path in sweep.rglob("*") if path.is_file()}
    html = report(load_config(ReportConfig, [f"sweep_dir={sweep}"]), tmp_path / "out").read_text(encoding="utf-8")
    new = {path for path in sweep.rglob("*") if path.is_file()} - set(before)
    names = ["effects", "parallel", "scores", "selection", "timeline"]
    assert sorted(path.relative_to(sweep).as_posix() for path in new) == [
        *(f"figures/sweep_{name}.png" for name in names), "report.html",
    ]  # fmt: skip
    assert {path: path.read_bytes() for path in before} == before
    assert html.count("data:image/png;base64,") == len(names)
    assert not re.search(r"https?:|<script|<link|@import|url\(", html)
    assert "cpu 0" not in words(html)
    order = ["What was asked", "Leaderboard", "too optimistic", "Effect of each key", "All settings", "Test scores",
             "Failures", "Limits", "reproduce"]  # fmt: skip
    titles = re.findall(r"<h2>(.*?)<", html)
    assert len(titles) == len(order)
    assert all(some in title for some, title in zip(order, titles, strict=True))


def answer(html: str) -> str:
    """Return the words of the first screen, in one line."""
    return words(html[html.index('<header class="answer') : html.index("</header>")])


def test_the_first_screen_says_what_was_asked_the_answer_and_how_sure(tmp_path: Path):
    winner = sweep_json()["winner"] | {"baseline": {"model": "brain", **scored(0.64, 0.1)}}
    path = write_sweep(tmp_path / "sweep", status="done", winner=winner)
    text, best = answer(page(path)), read_sweep(path).ranked.iloc[0]
    near = int((best["score"] - read_sweep(path).ranked["score"] <= 0.0357).sum()) - 1
    values = ", ".join(override.partition("=")[2] for override in best["overrides"].split())
    assert text.strip() == (
        "Sweep of 18 jobs: prediction of hematoma expansion Best job: not shown to be useful "
        "Asked Which kernel_size, num_heads, lr is best? "
        f"Answer Job {best['job']:.0f} ({values}), AUROC, cross-validated {best['score']:.3f}; a coin 0.500, "
        f"BRAIN score 0.640. How sure 0.621 on new folds; {near} of 16 other jobs within one standard error. "
        "No leakage found."
    )
    assert len(text.split()) <= 60
    assert [name for name, _ in compared_rows(read_sweep(path))] == [
        "best job, as ranked", "the same settings on new folds", "BRAIN score",
    ]  # fmt: skip


def test_the_leaderboard_is_in_order_and_test_scores_have_their_own_section(tmp_path: Path):
    html = page(write_sweep(tmp_path / "sweep"))
    table = pd.read_csv(tmp_path / "sweep" / "leaderboard.csv")
    shown = part(html, "leaderboard")
    best = table.iloc[0]
    settings = [override.partition("=")[2] for override in best["overrides"].split()]
    assert f"seconds 1 {best['job']} {' '.join(settings)} {best['score']:.3f}" in shown
    places = [shown.index(f"{score:.3f} ({score - 0.07:.3f}") for score in table["cv/auroc"].dropna().head(5)]
    assert places == sorted(places)
    tested = table["test/auroc"].dropna()
    assert not tested.is_monotonic_decreasing
    assert f"{tested[0]:.3f} (" in part(html, "test-scores")
    assert "test" not in shown
    assert "also those of the test part" in part(html, "test-scores")
    assert "Jobs without a rank" in shown


def test_swept_models_have_their_titles_and_one_model_is_named(tmp_path: Path):
    models = {"model": ["volume", "my_svc"], "seed": ["0", "1"]}
    shown = page(write_sweep(tmp_path / "models", models, {}))
    assert "hematoma volume alone" in part(shown, "leaderboard")
    assert "my_svc" in part(shown, "effects")
    same = write_sweep(tmp_path / "same", {"seed": ["0", "1"]}, {})
    for file in same.glob("*/result.json"):
        content = json.loads(file.read_text())
        content["config"]["model"] = {"name": "custom", "target": "nets.MyNet"}
        file.write_text(json.dumps(content))
    assert "Model MyNet" in words(part(page(same), "swept"))


def test_a_failed_job_is_shown_with_its_log_and_without_patient_ids(tmp_path: Path):
    sweep = write_sweep(tmp_path / "sweep")
    shown = part(page(sweep), "failures")
    assert "1 of 18 jobs" in shown
    assert "failed sheet 1, row 9: [patient] and [number] 7/train.log" in shown
    assert "7 model.kernel_size=5 model.num_heads=1 optimizer.lr=3e-4" in shown  # numbers there are not patient ids
    assert "sub001 and 20310101000000" in part(page(sweep, patients=True), "failures")
    assert "sub001" not in page(sweep)


def test_the_score_of_the_best_job_on_new_folds_is_shown_with_its_optimism(tmp_path: Path):
    sweep = write_sweep(tmp_path / "sweep")
    shown = part(page(sweep), "curse")
    best = read_sweep(sweep).ranked.iloc[0]["score"]
    assert "best score of 17" in shown
    assert f"0.621 (0.551 to 0.691): worse by {best - 0.621:.3f}" in shown
    assert "Only new patients can show the rest" in shown
    assert "typical standard error (0.036)" in shown
    assert f"expected {0.0357 * 1.7939:.3f} above" in shown  # the mean of the best of 17 standard normals


def test_the_optimism_is_estimated_without_new_folds_if_lower_is_better(tmp_path: Path):
    winner = {"job": 0, "num_jobs": 17, "score": scored(0.17, 0.02)}
    shown = part(page(write_sweep(tmp_path / "sweep", ranked_by="cv/brier", winner=winner)), "curse")
    assert "not evaluated again on new folds" in shown
    assert "below their true score" in shown
    assert "worse by" not in shown


def test_a_better_score_on_new_folds_is_not_called_optimism(tmp_path: Path):
    winner = {"num_jobs": 17, "score": {}, "reevaluation": scored(0.9, 0.05)}
    assert re.search(
        r"better by 0\.\d{3}, so no optimism", part(page(write_sweep(tmp_path / "s", winner=winner)), "curse")
    )


def test_the_effects_of_keys_are_separate_from_the_effect_of_seeds(tmp_path: Path):
    shown = part(page(write_sweep(tmp_path / "grid", lost={})), "effects")
    assert "No seed was swept" in shown
    assert "Not every value was tried" not in shown
    assert "Not every value was tried" in part(page(write_sweep(tmp_path / "lost")), "effects")
    sweep = write_sweep(tmp_path / "seeds", SEEDS, lost={})
    shown = part(page(sweep), "effects")
    assert "seed varies only chance" in shown
    assert "its best value is not a better choice" in shown
    table = read_sweep(sweep).ranked.groupby("model.kernel_size")["score"].agg(["mean", "std"])
    for key, row in table.iterrows():
        assert f"{key} 3 {row['mean']:.3f} {row['std']:.3f}" in shown
    assert "differ by seed with" in part(page(sweep), "curse")
    assert "also those of the test part" in part(page(sweep), "test-scores")


def test_the_limits_of_a_sweep_are_listed(tmp_path: Path):
    sweep = write_sweep(tmp_path / "sweep", {"label": ["onset_24h", "onset_48h", "onset_72h"]}, lost={})
    jobs = read_sweep(sweep).ranked
    near = int((jobs["score"][0] - jobs["score"] <= standard_error(jobs)).sum()) - 1
    shown = part(page(sweep), "limits")
    assert "label was swept: these jobs predict different outcomes" in shown
    assert f"{near} of the other 2 ranked jobs are within one standard error" in shown
    assert "The patients are simulated" in shown


def test_a_search_reports_the_test_part_of_its_winner(tmp_path: Path):
    nested = {"winner": 4, "test": {"auroc": scored(0.613, 0.1), "brier": scored(0.2, 0.03)}}
    sweep = write_sweep(tmp_path / "sweep", patients="train", nested=nested, status="done", search={"name": "random"})
    html = page(sweep)
    assert "chose job 4 without seeing the test part" in part(html, "nested")
    assert "0.61 (0.51 to 0.71)" in part(html, "nested")
    assert "is a fair estimate" in part(html, "test-scores")
    assert "settings drawn at random" in part(html, "swept")
    assert "within the training part; the highest is best" in part(html, "swept")
    assert '<header class="answer not_better_than_baselines">' in html
    assert "<h1>Best job: not shown to be useful</h1>" in html


def test_a_search_that_continued_after_a_report_has_an_optimistic_test_score(tmp_path: Path):
    nested = {"winner": 4, "test": {"auroc": scored(0.613, 0.1)}, "reports": 2}
    sweep = write_sweep(tmp_path / "sweep", patients="train", nested=nested, status="done", search={"name": "random"})
    html = page(sweep)
    assert "This is the 2nd report" in part(html, "nested")
    for claim in ("without seeing the test part", "Patients that were not used for the choice", "is a fair estimate"):
        assert claim not in html


def test_a_nested_cross_validation_is_shown_fold_by_fold(tmp_path: Path):
    folds = [
        {"fold": i, "winner": i, "chosen_by": 0.65 + 0.01 * i, "test": 0.6, "overrides": f"lr={i}"} for i in (0, 1)
    ]
    nested = {"score": "auroc", "value": 0.6, "low": 0.5, "high": 0.7, "p": 0.0004, "folds": folds}
    sweep = write_sweep(
        tmp_path / "s", {"split.fold": ["0", "1"], "lr": ["0", "1"]}, {}, patients="train", nested=nested
    )
    shown = part(page(sweep), "nested")
    assert "0.600 (0.500 to 0.700) (AUROC, p < 0.001" in shown
    assert "on average 0.055 higher" in shown
    assert "1 1 0.660 0.600 lr=1" in shown
    assert "fair estimate" not in part(page(sweep), "test-scores")


def test_jobs_without_a_rank_have_no_best_job(tmp_path: Path):
    html = page(write_sweep(tmp_path / "sweep", ranked_by=None, winner=None, patients=""))
    assert "No job has a rank" in part(html, "leaderboard")
    assert "<h1>There is no best job</h1>" in html
    assert "Answer No job is ranked." in answer(html)
    assert 'id="curse"' not in html
    assert 'id="effects"' not in html
    assert "– 0 " in part(html, "test-scores")


def test_a_long_leaderboard_is_folded_but_complete(tmp_path: Path):
    grid = {"a": [str(i) for i in range(40)], "model": ["sacnn", "cnn"]}
    html = page(write_sweep(tmp_path / "sweep", grid, lost={}))
    assert "The other 55 jobs" in part(html, "leaderboard")
    assert ["> 80 <" in html.replace(">80<", "> 80 <"), html.count("<details>")] == [True, 3]
    assert "… and 29 more" in part(html, "swept")


def test_a_stopped_sweep_and_leakage_are_shown_first(tmp_path: Path):
    stopped = page(write_sweep(tmp_path / "a", lost={1: ("interrupted", ""), 2: ("missing", "")}, status="interrupted"))
    assert '<header class="answer INCOMPLETE">' in stopped
    assert "stopped before its end" in answer(stopped)
    assert "16 finished, 1 interrupted, 1 never run" in words(stopped)
    sweep = write_sweep(tmp_path / "b")
    result = json.loads((sweep / "3" / "result.json").read_text(encoding="utf-8"))
    (sweep / "3" / "result.json").write_text(json.dumps(result | {"verdict": "LEAKAGE: peeks"}), encoding="utf-8")
    assert "In 1 jobs the test patients or the outcome influenced the training (LEAKAGE: peeks)" in answer(page(sweep))
    assert "No leakage found" not in page(sweep)


def test_the_page_shows_how_to_run_the_sweep_again(tmp_path: Path):
    sweep = write_sweep(tmp_path / "sweep")
    shown = part(page(sweep), "reproduce")
    best = read_sweep(sweep).ranked.iloc[0]
    assert "python train.py -m 'data.root=a cohort' optimizer.lr=1e-3,3e-4" in shown  # as an earlier version wrote it
    assert f"hemexp train {best['overrides']}" in shown
    assert f"run_dir={sweep / best['folder']}" in shown


def test_all_texts_are_escaped(tmp_path: Path):
    html = page(write_sweep(tmp_path / "sweep", lost={2: ("failed", "<script>alert(1)</script>")}))
    assert "<script" not in html
    assert "&lt;script&gt;" in html


def _write(name: str, content: str) -> Callable[[Path], object]:
    return lambda sweep: (sweep / name).write_text(content, encoding="utf-8")


def _json(**changes: Any) -> Callable[[Path], object]:
    return _write("sweep.json", json.dumps(sweep_json(**changes)))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (_write("sweep.json", "{"), ["sweep.json", "cannot be read"]),
        (_write("sweep.json", "[]"), ["sweep.json", "JSON object"]),
        (_json(swept=[1]), ["sweep.json", "swept"]),
        (_json(swept={"model.width": ["1", "2"]}), ["leaderboard.csv", "no column model.width"]),
        (_json(status=[1]), ["sweep.json", "status"]),
        (_json(versions=["2.0"]), ["sweep.json", "versions"]),
        (_json(winner={"num_jobs": 2, "score": {"value": "high"}}), ["sweep.json", "winner.score.value"]),
        (_json(nested={"winner": 1, "test": {"auroc": 3}}), ["sweep.json", "nested.test.auroc"]),
        (_json(winner={"job": 1}), ["sweep.json", "winner", "num_jobs"]),
        (_json(nested={"folds": []}), ["sweep.json", "nested", "score"]),
        (_json(nested={"test": {}}), ["sweep.json", "nested", "winner"]),
        (_write("leaderboard.csv", ""), ["leaderboard.csv", "table"]),
        (_write("leaderboard.csv", "rank,job\n1,2\n"), ["leaderboard.csv", "no column folder"]),
        (_write("0/result.json", "{"), ["result.json"]),
        (_write("timeline.csv", "task,device\n"), ["timeline.csv", "no column outcome, started"]),
        (
            _write("timeline.csv", "task,device,started,ended,outcome\njob,cpu,soon,2,done\n"),
            ["timeline.csv", "started"],
        ),
    ],
)
def test_the_message_names_a_damaged_file(tmp_path: Path, damage: Callable[[Path], object], message: list[str]):
    sweep = write_sweep(tmp_path / "sweep")
    damage(sweep)
    with pytest.raises(UserError) as refusal:
        page(sweep)
    assert all(word in str(refusal.value) for word in message), refusal.value


def test_the_message_names_the_column_of_a_score_that_is_not_a_number(tmp_path: Path):
    sweep = write_sweep(tmp_path / "sweep")
    table = pd.read_csv(sweep / "leaderboard.csv", dtype=str)
    table.loc[0, "cv/auroc"] = "much"
    table.to_csv(sweep / "leaderboard.csv", index=False)
    with pytest.raises(UserError, match=r"column cv/auroc .* not a number"):
        read_sweep(sweep)


def test_the_report_refuses_the_wrong_kind_of_directory(tmp_path: Path):
    sweep = write_sweep(tmp_path / "sweep", GRID)
    run = sweep / "0"
    for overrides, said in (
        ([], "or sweep_dir=SWEEP"),
        ([f"run_dir={run}", f"sweep_dir={sweep}"], "run_dir is set too"),
        ([f"sweep_dir={tmp_path}"], "does not hold leaderboard.csv$"),
        ([f"sweep_dir={run}"], f"leaderboard.csv; it is a run: give run_dir={run}"),
        ([f"run_dir={sweep}"], f"result.json; it is a sweep: give sweep_dir={sweep}"),
    ):
        with pytest.raises(UserError, match=said):
            load_config(ReportConfig, overrides)


@pytest.mark.slow
def test_the_command_writes_the_page_of_a_sweep(run_command: Any, tmp_path: Path):
    sweep = write_sweep(tmp_path / "sweep")
    done = run_command("report.py", f"sweep_dir={sweep}")
    assert done.returncode == 0, done.stderr
    assert "18 jobs: 17 finished, 1 failed" in done.stdout
    assert (sweep / "report.html").is_file()
    inside = run_command("report.py", f"sweep_dir={sweep}", f"output_dir={sweep / 'x'}")
    assert inside.returncode == 2
    assert "lies in" in inside.stderr
