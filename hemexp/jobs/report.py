"""One self-contained page about a run, from the files of its directory alone."""

from pathlib import Path

from hemexp.config import ReportConfig
from hemexp.errors import UserError
from hemexp.files import write_text
from hemexp.report.page import render
from hemexp.report.run_files import read_run


def report(cfg: ReportConfig, directory: Path | str) -> Path:
    """Write ``report.html`` into ``cfg.run_dir``, whose other files are only read; return its path.

    Args:
        cfg: as `hemexp.compose.load_config` returns it.
        directory: of the log; not used here.

    Raises:
        UserError: a file of the run cannot be read, or the directory cannot be written.
    """
    run = read_run(Path(str(cfg.run_dir)))
    page = run.path / "report.html"
    html = render(run, patients=cfg.report.patients)
    try:
        write_text(page, html)
    except OSError as error:
        raise UserError(f"{page}: cannot be written: {error.strerror}") from None
    print(f"{run.verdict}\n{page}: {len(html) / 1e6:.1f} MB, opens in any browser")
    if cfg.report.patients:
        print("the page holds single patients: it is for those who may see the cohort")
    return page
