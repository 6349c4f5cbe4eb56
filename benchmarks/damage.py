"""Count what a user learns when a cohort's files are damaged.

python benchmarks/damage.py [--examples 2000] [--seed 0] [--by-hand 1000] [--show 5]

Each example is a small invented cohort in one of the forms that hospitals have, with one or two kinds of damage that
hypothesis draws (tests/damage). The hand-made kinds follow. The same seed and version give the same table. The command
ends with exit code 1 if a cohort changed in silence or a traceback was shown.
"""

import argparse
import sys
from collections import Counter, defaultdict
from pathlib import Path

from hypothesis import HealthCheck, Phase, given, seed, settings

sys.path.pop(0)  # benchmarks/ has a cohort.py, too
sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from damage.damages import LEVEL_OF, LEVELS, Case, cases, judge_case
from damage.handmade import HANDMADE, make_handmade
from damage.verdict import GOOD, OUTCOMES, Verdict, judge

TWO = "two levels"
BY_HAND = "made by hand"


def main() -> int:
    """Print the tables; return the exit code."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--examples", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--by-hand", type=int, default=1000, help="most of the kinds that are made by hand")
    parser.add_argument("--show", type=int, default=5, help="bad examples that are shown")
    options = parser.parse_args()
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    reasons: Counter[str] = Counter()
    bad: list[tuple[str, Verdict]] = []

    def count(level: str, what: str, verdict: Verdict) -> None:
        counts[level][verdict.outcome] += 1
        if verdict.outcome == "unknowable":
            reasons[verdict.detail] += 1
        if verdict.outcome not in GOOD:
            bad.append((what, verdict))

    @seed(options.seed)
    @settings(
        max_examples=max(1, options.examples),
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=cases())
    def try_one(case: Case) -> None:
        level = LEVEL_OF[case.damages[0]] if len(case.damages) == 1 else TWO
        count(level, repr(case), judge_case(case))

    if options.examples:
        try_one()
    for name in list(HANDMADE)[: options.by_hand]:
        count(BY_HAND, name, judge(*make_handmade(name)))
    print_counts(counts)
    print("\n| unknowable, because | cohorts |\n| --- | --- |")
    for reason, number in reasons.most_common():
        print(f"| {reason} | {number} |")
    for what, verdict in bad[: options.show]:
        print(f"\n{verdict.outcome}: {what}\n{verdict.detail}")
    return int(bool(bad))


def print_counts(counts: dict[str, Counter[str]]) -> None:
    """Print the outcomes of each level and of all."""
    print(f"| damage of | tried | {' | '.join(OUTCOMES)} |")
    print(f"| --- | --- | {' | '.join('---' for _ in OUTCOMES)} |")
    counts = {level: counts[level] for level in (*LEVELS, TWO, BY_HAND) if level in counts}
    total = sum(counts.values(), Counter())
    for level, outcomes in (*counts.items(), ("all", total)):
        print(f"| {level} | {outcomes.total()} | {' | '.join(str(outcomes[name]) for name in OUTCOMES)} |")


if __name__ == "__main__":
    sys.exit(main())
