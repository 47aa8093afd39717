"""Limits of the regression checks, as decimal constants.

| check               | slice    | fails if                                                       |
|---------------------|----------|----------------------------------------------------------------|
| fpr_baseline        |          | FPR > baseline × 1.1                                           |
| fpr_stability       |          | FPR >= baseline + 0.0002                                       |
| fpr_target          |          | FPR >= 0.0005                                                  |
| detection_baseline  | method   | rate < baseline × 0.95                                         |
| detection_floor     | method   | rate <= 0.95                                                   |
| detection_target    | method   | rate <= 0.99                                                   |
| latency_baseline    | p95      | p95 > baseline × 1.2                                           |
| latency_limit       | p95      | p95 >= 0.005 s                                                 |
| format_consistency  | format   | FPR of the format >= its baseline (default 0.001) + 0.0002     |
| negatives           | category | FPR of the category >= 0.005                                   |
"""

from __future__ import annotations

from typing import Final, Literal, get_args

FPR_BASELINE_FACTOR: Final = 1.1
FPR_STABILITY_MARGIN: Final = 0.0002
FPR_TARGET: Final = 0.0005
DETECTION_BASELINE_FACTOR: Final = 0.95
DETECTION_FLOOR: Final = 0.95
DETECTION_TARGET: Final = 0.99
LATENCY_QUANTILE: Final = 0.95
LATENCY_BASELINE_FACTOR: Final = 1.2
LATENCY_LIMIT_SECONDS: Final = 0.005
FORMAT_MARGIN: Final = 0.0002
FORMAT_DEFAULT_BASELINE: Final = 0.001
NEGATIVES_LIMIT: Final = 0.005
PAIRED_TEST_LEVEL: Final = 0.01
"""Significance level of the paired tests against baseline models: significant if the p-value is below it."""

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
