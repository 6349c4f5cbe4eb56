"""The page's fixed texts: of verdicts, caveats, data-quality problems and figures."""

from functools import cache
from importlib.resources import files
from typing import Any

from omegaconf import OmegaConf

from hemexp.files.result import CAVEATS


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
