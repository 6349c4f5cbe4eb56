"""The fixed texts of the page: verdicts, conclusions, caveats, data-quality problems and figures."""

from functools import cache
from importlib.resources import files
from typing import Any

from omegaconf import OmegaConf

from hemexp.files.result import CAVEATS


@cache
def load_texts(name: str) -> Any:
    """Return the content of one of the YAML files of this package."""
    source = files("hemexp.report").joinpath(f"{name}.yaml").read_text(encoding="utf-8")
    return OmegaConf.to_container(OmegaConf.create(source))


def caveat_text(code: str) -> str:
    """Return the explanation of a caveat."""
    return str(load_texts("texts")["caveats"].get(code) or CAVEATS.get(code) or f"Caveat: {code}.")


def problem_text(code: str) -> str:
    """Return the explanation of a data-quality problem."""
    return str(load_texts("texts")["problems"].get(code) or code.replace("_", " "))
