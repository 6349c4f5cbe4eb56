"""The command that makes the run again."""

import shlex
from collections.abc import Sequence

from hemexp.formatting import num, program
from hemexp.report.blocks import Block, section, table, text
from hemexp.report.run.read import RunFiles


def command(run: RunFiles) -> str:
    """Return the exact command of the run; empty if its overrides are not known."""
    if run.overrides is None:
        return ""
    name = "update" if run.result.updated_from else "train"
    return shlex.join(single_run(run.overrides, name))


def single_run(overrides: Sequence[str], name: str = "train") -> list[str]:
    """Return the command of a single run in a new directory; the search and the place of a sweep are left out."""
    left_out = ("output_dir=", "search=", "search.", "where=", "where.", "hydra.")
    kept = [override for override in overrides if not override.startswith(left_out)]
    sweeps = any(override.startswith(("experiment=sweep_", "experiment=search_")) for override in kept)
    return [*shlex.split(program(name)), *kept, *(["search=grid", "hydra.mode=RUN"] if sweeps else [])]


def reproduce(run: RunFiles) -> Block | None:
    """Return the section with the command, the hashes and the versions."""
    result = run.result
    rows = [
        ["hash of the configuration", result.config_hash],
        ["hash of the data", result.data_hash],
        ["seed", str(result.seed)],
        ["status", result.status],
        ["computing time", f"{num(result.seconds, 0)} seconds"],
        *[[f"version of {name}", version] for name, version in result.versions.items()],
    ]
    shown = command(run)
    words = "This command makes the run again in a new directory, given the same code, data and versions."
    if result.data.kind == "mapped":
        words += " The directory of this run keeps the mapping of the columns that it used: mapping.yaml."
    blocks = [text(words), {"kind": "code", "text": shown}] if shown else []
    return section("reproduce", "How to reproduce this run", [*blocks, table("", ["", ""], rows)], folded=True)
