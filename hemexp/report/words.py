"""The page's fixed texts: of verdicts, caveats, data-quality problems and figures."""

from functools import cache
from importlib.resources import files
from typing import Any

from omegaconf import OmegaConf

from hemexp.report.blocks import Block
from hemexp.report.run_files import RunFiles
from hemexp.summary import CAVEATS


@cache
def load_texts(name: str) -> Any:
    """Return the content of one of this package's YAML files."""
    source = files("hemexp.report").joinpath(f"{name}.yaml").read_text(encoding="utf-8")
    return OmegaConf.to_container(OmegaConf.create(source))


def caveat(code: str) -> str:
    """Return what a caveat means for a reader."""
    return str(load_texts("texts")["caveats"].get(code) or CAVEATS.get(code) or f"Caveat: {code}.")


def problem(code: str) -> str:
    """Return what a data-quality problem means."""
    return str(load_texts("texts")["problems"].get(code) or code.replace("_", " "))


def claim_words(claim: str) -> str:
    """Return a claim of result.json in plain words."""
    plain = {
        "better than baseline": "better than every baseline",
        "not better than baseline": "not shown to be better than the baselines",
        "worse than baseline": "worse than at least one baseline",
    }
    return plain.get(claim, claim)


def verdict_kind(verdict: str) -> str:
    """Return HONEST, AUDIT or INCOMPLETE; a verdict that is none of them is taken as unfinished."""
    kind = verdict.partition(":")[0]
    return kind if kind in {"HONEST", "AUDIT"} else "INCOMPLETE"


def figure(run: RunFiles, name: str) -> Block | None:
    """Return one of the run's figures with its reading aid, None where the run drew none."""
    if name not in run.figures:
        return None
    title, aid = load_texts("texts")["figures"][name]
    return {"kind": "figure", "title": title, "aid": aid, "source": run.figures[name]}


def other_figures(run: RunFiles) -> list[Block]:
    """Return the figures that have no reading aid."""
    names = [name for name in run.figures if name not in load_texts("texts")["figures"]]
    return [{"kind": "figure", "title": name, "aid": "", "source": run.figures[name]} for name in names]
