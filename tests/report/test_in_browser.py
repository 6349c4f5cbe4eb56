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

from hemexp.commands.report import report
from hemexp.config import ReportConfig
from hemexp.config.compose import load_config
from hemexp.figures.forest import comparison
from hemexp.figures.style import house_style, save_png
from hemexp.files.result import RunResult, read_result
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
    found.push({width, height, words, bottom: Math.max(...ends), image: image ? image.getBoundingClientRect().width : 0,
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


@pytest.fixture(scope="module", params=["run", "sweep"])
def seen(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    directory = tmp_path_factory.mktemp("browser")
    if request.param == "run":
        run = write_run(directory / "run")
        with house_style():
            figure = comparison(read_result(run / "result.json", RunResult).comparison)
        save_png(figure, run / "figures" / "comparison.png")
        return measure(render(read_run(run), patients=False), directory)
    sweep = write_sweep(directory / "sweep", status="done")
    return measure(report(load_config(ReportConfig, [f"sweep_dir={sweep}"]), directory).read_text(), directory)


def test_the_first_screen_holds_at_most_60_words_and_one_readable_figure(seen: list[dict[str, Any]]):
    for view in seen:
        assert 20 < view["words"] <= 60, view
        assert view["bottom"] <= view["height"], view
        assert view["next"] >= view["height"], view
        assert view["image"] >= 340, view


def test_nothing_is_cut_off_at_the_right(seen: list[dict[str, Any]]):
    for view in seen:
        assert view["page"] <= view["width"]
        assert view["wide"] == []
        assert view["tables"] > 3


def test_every_folded_part_opens(seen: list[dict[str, Any]]):
    for view in seen:
        assert view["opens"]
        assert all(view["opens"])
