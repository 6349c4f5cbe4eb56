"""Draw the figures of a sweep from its leaderboard and save them in ``figures/``."""

from hemexp.figures import sweep as draw
from hemexp.figures.parallel import parallel_coordinates
from hemexp.figures.style import house_style, save_png
from hemexp.report.blocks import Block, picture
from hemexp.report.html import png_uri
from hemexp.report.sweep.choice import compared_rows
from hemexp.report.sweep.effects import Effect
from hemexp.report.sweep.files import SweepFiles


def draw_sweep(sweep: SweepFiles, effects: list[Effect]) -> dict[str, Block]:
    """Save every figure that the leaderboard has the data for; return them by file name, as blocks of the page."""
    jobs, measure, keys = sweep.ranked, sweep.measure, list(sweep.swept)
    scores = jobs["score"].to_numpy(dtype=float)
    figures = {}
    with house_style():
        if len(jobs):
            numbers = [f"{number:.0f}" for number in jobs["job"]]
            settings = [" · ".join(values) for values in jobs[keys].to_numpy()]
            names = [f"{number}: {text}" for number, text in zip(numbers, settings, strict=True)] if keys else numbers
            header = f"job: {' · '.join(keys)}" if keys else "job"
            figures["sweep_scores"] = draw.job_scores(jobs, names, header, measure)
        if any(len(effect.places) > len(effect.values) for effect in effects):  # else each dot is a mean
            panels = [
                (effect.key, list(effect.values["value"]), effect.places, effect.values["mean"].to_numpy(dtype=float),
                 effect.ordered and effect.key not in sweep.luck)
                for effect in effects
            ]  # fmt: skip
            figures["sweep_effects"] = draw.effects(panels, scores, measure)
        varied = [key for key in keys if jobs[key].nunique() > 1]
        if effects and len(varied) > 1:
            lower = sweep.lower_is_better
            figures["sweep_parallel"] = parallel_coordinates(jobs, varied, sweep.swept, measure, lower)
        if len(jobs) > 1 and jobs.iloc[0][["score_low", "score_high"]].notna().all():
            rows, has_baseline = compared_rows(sweep), bool(sweep.winner.get("baseline"))
            figures["sweep_selection"] = draw.selection(rows, scores, measure, sweep.ranked_by, has_baseline)
        if sweep.timeline is not None and len(sweep.timeline):
            figures["sweep_timeline"] = draw.timeline(sweep.timeline)
        blocks = {}
        for name, figure in figures.items():
            path = sweep.path / "figures" / f"{name}.png"
            save_png(figure, path)
            blocks[name] = picture(name, png_uri(path))
    return blocks
