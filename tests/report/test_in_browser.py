"""The pages in headless Chromium: the first screen, tables that are not cut off, and folded parts that open."""

import json
import re
import shutil
import subprocess
from html import escape
from pathlib import Path
from typing import Any

import pytest
from fake_run import write_run
from fake_sweep import write_sweep

from hemexp.commands.predict import predict
from hemexp.commands.report import report
from hemexp.commands.train import train
from hemexp.commands.update import update
from hemexp.config import PredictConfig, ReportConfig, TrainConfig, UpdateConfig
from hemexp.config.compose import load_config
from hemexp.figures.forest import comparison
from hemexp.figures.style import house_style, save_png
from hemexp.files.result import ComparedModel, RunResult, read_result
from hemexp.report.run.page import render
from hemexp.report.run.read import read_run

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = [pytest.mark.slow, pytest.mark.skipif(BROWSER is None, reason="no Chromium is installed")]

MEASURE = """
onload = () => {
  const found = [];
  for (const frame of document.querySelectorAll("iframe")) {
    const page = frame.contentDocument, view = frame.contentWindow;
    const height = view.innerHeight, width = page.documentElement.clientWidth;  // without the scroll bar
    const scrolls = (part) => { for (; part; part = part.parentElement)
      if (["auto", "scroll"].includes(view.getComputedStyle(part).overflowX)) return true; return false; };
    const walker = page.createTreeWalker(page.body, NodeFilter.SHOW_TEXT);
    let words = 0;
    while (walker.nextNode()) {
      const range = page.createRange(); range.selectNode(walker.currentNode);
      const box = range.getBoundingClientRect();
      if (box.height && box.top < height) words += walker.currentNode.data.split(/\\s+/).filter(Boolean).length;
    }
    const answer = page.querySelector(".answer"), image = answer.querySelector("img");
    const closed = [...page.querySelectorAll("details")].map((part) => part.offsetHeight);
    const ends = [...answer.querySelectorAll("dd, .quiet, img")].map((part) => part.getBoundingClientRect().bottom);
    page.querySelectorAll("details > summary").forEach((part) => part.click());
    const opened = [...page.querySelectorAll("details")].map((part) => part.offsetHeight);
    const wide = [...page.querySelectorAll("main *")].filter((part) => part.getBoundingClientRect().right > width + 1
      && !scrolls(part.parentElement));
    found.push({width, height, words, images: answer.querySelectorAll("img").length,
      bottom: Math.max(...ends), image: image ? image.getBoundingClientRect().width : 0,
      next: page.querySelector("nav").getBoundingClientRect().top + view.scrollY,
      page: page.documentElement.scrollWidth, wide: wide.map((part) => part.outerHTML.slice(0, 120)),
      tables: page.querySelectorAll("table").length, opens: opened.map((size, i) => size > closed[i] + 10)});
  }
  document.body.innerHTML = ""; document.body.append(JSON.stringify(found));
};
"""


def measure(html: str, directory: Path) -> list[dict[str, Any]]:
    """Return what a reader sees of a page on a screen of 1280 x 800 and on a phone of 390 x 844 pixels."""
    frames = "".join(
        f'<iframe width="{width}" height="{height}" style="border: 0" srcdoc="{escape(html)}"></iframe>'
        for width, height in ((1280, 800), (390, 844))
    )
    page = directory / "frames.html"
    page.write_text(f"<!DOCTYPE html><meta charset=utf-8><body>{frames}<script>{MEASURE}</script>", encoding="utf-8")
    options = ["--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={directory / 'profile'}"]
    command = [str(BROWSER), *options, "--virtual-time-budget=10000", "--dump-dom", page.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=True)
    found: list[dict[str, Any]] = json.loads(re.findall(r"<body[^>]*>(.*)</body>", done.stdout, re.DOTALL)[0])
    return found


FEW = ["data.num_patients=60", "data.prevalence=0.4", "logger=csv", "trainer.progress_bar=false"]
ELSEWHERE = ["data=synthetic", "data.num_patients=50", "data.prevalence=0.4", "data.seed=7"]


def draw_comparison(run: Path, rows: list[ComparedModel]) -> None:
    with house_style():
        save_png(comparison(rows), run / "figures" / "comparison.png")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that predicts and can be updated."""
    run = tmp_path_factory.mktemp("trained") / "run"
    train(load_config(TrainConfig, ["model=ridge2", "evaluation.num_repeats=1", *FEW]), run)
    return run


@pytest.fixture(scope="module", params=["run", "sweep", "validation", "updated"])
def seen(
    request: pytest.FixtureRequest, trained: Path, tmp_path_factory: pytest.TempPathFactory
) -> list[dict[str, Any]]:
    directory = tmp_path_factory.mktemp("browser")
    if request.param == "run":
        run = write_run(directory / "run")
        draw_comparison(run, read_result(run / "result.json", RunResult).comparison)
        return measure(render(read_run(run), patients=False), directory)
    if request.param == "validation":
        predict(load_config(PredictConfig, [f"run_dir={trained}", *ELSEWHERE]), directory / "there")
        return measure((directory / "there" / "report.html").read_text(), directory)
    if request.param == "updated":
        options = [f"run_dir={trained}", "num_repeats=2", *ELSEWHERE]
        result = update(load_config(UpdateConfig, options), directory / "updated")
        assert result.update is not None
        draw_comparison(directory / "updated", result.update.comparison)
        return measure(render(read_run(directory / "updated"), patients=False), directory)
    sweep = write_sweep(directory / "sweep", status="done")
    return measure(report(load_config(ReportConfig, [f"sweep_dir={sweep}"]), directory).read_text(), directory)


def test_the_first_screen_holds_at_most_60_words_and_one_readable_figure(seen: list[dict[str, Any]]):
    for view in seen:
        assert 20 < view["words"] <= 60, view
        assert view["bottom"] <= view["height"], view
        assert view["next"] >= view["height"], view
        assert view["image"] >= 340, view
        assert view["images"] == 1, view


def test_nothing_is_cut_off_at_the_right(seen: list[dict[str, Any]]):
    for view in seen:
        assert view["page"] <= view["width"]
        assert view["wide"] == []
        assert view["tables"] > 3


def test_every_folded_part_opens(seen: list[dict[str, Any]]):
    for view in seen:
        assert view["opens"]
        assert all(view["opens"])
