"""Write one self-contained page about a run or a sweep, from the files in its directory."""

from pathlib import Path

from hemexp.config import ReportConfig
from hemexp.files.result import CONCLUSIONS
from hemexp.files.writing import write_text


def report(cfg: ReportConfig, directory: Path | str) -> Path:
    """Write ``report.html`` into ``cfg.run_dir`` or ``cfg.sweep_dir``; return its path.

    The other files of a run are only read; a sweep also gets ``figures/``.

    Args:
        cfg: as `hemexp.config.compose.load_config` returns it.
        directory: for the log; not used here.

    Raises:
        UserError: a file cannot be read.
        OSError: the directory cannot be written.
    """
    page = cfg.place / "report.html"
    headline, html = _render_run(cfg) if cfg.sweep_dir is None else _render_sweep(cfg)
    write_text(page, html)
    size = len(html.encode()) / 1e6
    shown = f"{size:.1f} MB" if size >= 0.1 else f"{1000 * size:.0f} kB"
    print(f"{headline}\n{page}: {shown}, opens in every browser")
    if cfg.report.patients:
        print("the page shows single patients: give it only to people who may see the cohort")
    return page


def _render_run(cfg: ReportConfig) -> tuple[str, str]:
    from hemexp.report.first_screen import get_warning
    from hemexp.report.run.page import render
    from hemexp.report.run.read import read_run

    run = read_run(cfg.place)
    found = run.result.update.conclusion[0] if run.result.update else CONCLUSIONS[run.result.conclusion]
    return get_warning(run.result.verdict) or f"Conclusion: {found}", render(run, patients=cfg.report.patients)


def _render_sweep(cfg: ReportConfig) -> tuple[str, str]:
    from hemexp.report.sweep.effects import effects
    from hemexp.report.sweep.figures import draw_sweep
    from hemexp.report.sweep.files import read_sweep
    from hemexp.report.sweep.page import render_sweep
    from hemexp.report.sweep.sections import status_counts

    sweep = read_sweep(cfg.place)
    key_effects = effects(sweep.ranked, sweep.swept, sweep.luck)
    figures = draw_sweep(sweep, key_effects)
    headline = f"{len(sweep.jobs)} jobs: {status_counts(sweep)}"
    return headline, render_sweep(sweep, key_effects, figures, cfg.report.patients)
