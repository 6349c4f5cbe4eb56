"""Draw the figures of a sweep from its leaderboard and save them in ``figures/``."""

from collections.abc import Callable
from pathlib import Path

from matplotlib.figure import Figure

from hemexp.figures import sweep as draw
from hemexp.figures.parallel import parallel_coordinates
from hemexp.figures.style import house_style
from hemexp.report.blocks import Block
from hemexp.report.embed import png_uri
from hemexp.report.sweep.choice import selection_rows
from hemexp.report.sweep.effects import Effect, in_order
from hemexp.report.sweep.files import SweepFiles
from hemexp.report.texts import load_texts


def draw_sweep(sweep: SweepFiles, effects: list[Effect]) -> dict[str, Figure]:
    """Return every figure that the leaderboard has the data for, by file name."""
    jobs, measure = sweep.ranked, sweep.measure
    drawings: dict[str, Callable[[], Figure]] = {}
    if len(jobs):
        names = [" · ".join([f"{job['job']:.0f}: {job[key]}" if key == first else job[key] for key in sweep.swept])
                 for first in list(sweep.swept)[:1] for _, job in jobs.iterrows()]  # fmt: skip
        header = f"job: {' · '.join(sweep.swept)}" if sweep.swept else "job"
        names = names or [f"{number:.0f}" for number in jobs["job"]]
        drawings["sweep_scores"] = lambda: draw.job_scores(jobs, names, header, measure)
    if effects:
        scores = jobs["score"].to_numpy(dtype=float)
        panels = []
        for effect in effects:
            means = effect.values["mean"].to_numpy(dtype=float)
            joined = effect.ordered and effect.key not in sweep.luck
            panels.append((effect.key, list(effect.values["value"]), effect.places, means, joined))
        orders = {key: in_order(values, values) for key, values in sweep.swept.items()}
        varied = [key for key in sweep.swept if jobs[key].nunique() > 1]
        drawings["sweep_effects"] = lambda: draw.effects(panels, scores, measure)
        drawings["sweep_parallel"] = lambda: parallel_coordinates(jobs, varied, orders, measure, sweep.lower_is_better)
    if len(jobs) > 1 and jobs.iloc[0][["score_low", "score_high"]].notna().all():
        rows = selection_rows(sweep)
        drawings["sweep_selection"] = lambda: draw.selection(rows, jobs["score"].to_numpy(dtype=float), measure)
    if sweep.timeline is not None and len(sweep.timeline):
        tasks = sweep.timeline
        drawings["sweep_timeline"] = lambda: draw.timeline(tasks)
    with house_style():
        return {name: make() for name, make in drawings.items()}


def figure_blocks(figures: dict[str, Figure], directory: Path) -> dict[str, Block]:
    """Save figures in a directory and return each as a block of the page with its explanation."""
    directory.mkdir(parents=True, exist_ok=True)
    blocks: dict[str, Block] = {}
    for name, figure in figures.items():
        path = directory / f"{name}.png"
        with house_style():
            figure.savefig(path)
        title, explanation = load_texts("texts")["figures"][name]
        blocks[name] = {"kind": "figure", "title": title, "aid": explanation, "source": png_uri(path)}
    return blocks
