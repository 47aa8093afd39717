"""Limits of the regression checks: names, default values, and which checks run.

| check               | slice    | fails if                                                       |
|---------------------|----------|----------------------------------------------------------------|
| fpr_baseline        |          | FPR > baseline × fpr_baseline                                  |
| fpr_stability       |          | FPR >= baseline + fpr_stability                                |
| fpr_target          |          | FPR >= fpr_target                                              |
| detection_baseline  | method   | rate < baseline × detection_baseline                           |
| detection_floor     | method   | rate <= detection_floor                                        |
| detection_target    | method   | rate <= detection_target                                       |
| latency_baseline    | p95      | p95 / p95 of the baseline > latency_baseline                   |
| latency_limit       | p95      | p95 >= latency_limit                                           |
| format_consistency  | format   | FPR of the format >= its baseline + format_consistency         |
| negatives           | category | FPR of the category >= negatives                               |

Without a baseline, `format_consistency` compares with `format_default` instead of the baseline of the format.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, get_args

LATENCY_QUANTILE: Final = 0.95

CheckName = Literal[
    "fpr_baseline",
    "fpr_stability",
    "fpr_target",
    "detection_baseline",
    "detection_floor",
    "detection_target",
    "latency_baseline",
    "latency_limit",
    "format_consistency",
    "negatives",
]
CHECK_NAMES: Final[tuple[CheckName, ...]] = get_args(CheckName)
BASELINE_CHECKS: Final[tuple[CheckName, ...]] = ("fpr_baseline", "detection_baseline", "latency_baseline")
"""Checks whose failure is a regression in monitor_performance.py."""


@dataclass(frozen=True, slots=True)
class CheckLimits:
    """Limits by check: ratios, factors of the baseline, and seconds. A float stands for the decimal it is written as.

    Checks in `disabled` do not run; those in `informational` have severity info and do not alert.
    """

    fpr_baseline: float = 1.1
    fpr_stability: float = 0.0002
    fpr_target: float = 0.0005
    detection_baseline: float = 0.95
    detection_floor: float = 0.95
    detection_target: float = 0.99
    latency_baseline: float = 1.2
    latency_limit: float = 0.005
    format_consistency: float = 0.0002
    format_default: float = 0.001
    negatives: float = 0.005
    disabled: frozenset[CheckName] = frozenset()
    informational: frozenset[CheckName] = frozenset({"detection_target"})


DEFAULT_LIMITS: Final = CheckLimits()
