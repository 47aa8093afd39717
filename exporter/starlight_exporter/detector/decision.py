"""From a probability to a verdict: one threshold, or one threshold per predicted method."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from starlight_exporter.detector.contract import METHODS, Method
from starlight_exporter.errors import ConfigError, ModelError

PLAIN_THRESHOLD: Final = 0.5
PRODUCTION_THRESHOLDS: Final[Mapping[Method, float]] = MappingProxyType(
    {"alpha": 0.70, "palette": 0.98, "lsb": 0.95, "exif": 0.50, "eoi": 0.65}
)


@dataclass(frozen=True, slots=True)
class DecisionRule:
    """An image is stego when its probability is strictly greater than the threshold.

    `thresholds` has one entry for the plain rule, and one per method, in the order of METHODS, for the other.
    Build it with `single` or `per_method`.
    """

    thresholds: tuple[float, ...]

    def __post_init__(self) -> None:
        if len(self.thresholds) not in (1, len(METHODS)):
            raise ConfigError(f"a decision rule has 1 or {len(METHODS)} thresholds, not {len(self.thresholds)}")
        for value in self.thresholds:
            if not (math.isfinite(value) and 0.0 <= value <= 1.0):
                raise ConfigError(f"a threshold is a probability between 0 and 1, not {value!r}")

    @classmethod
    def single(cls, threshold: float = PLAIN_THRESHOLD) -> DecisionRule:
        """One threshold for every image."""
        return cls((float(threshold),))

    @classmethod
    def per_method(cls, thresholds: Mapping[Method, float] = PRODUCTION_THRESHOLDS) -> DecisionRule:
        """A threshold per predicted method; ConfigError names a method that is missing or unknown."""
        unknown = sorted(set(thresholds) - set(METHODS))
        missing = [method for method in METHODS if method not in thresholds]
        if unknown or missing:
            told = [f"unknown: {', '.join(unknown)}"] * bool(unknown) + [f"missing: {', '.join(missing)}"] * bool(
                missing
            )
            raise ConfigError(f"thresholds per method need exactly {', '.join(METHODS)} ({'; '.join(told)})")
        return cls(tuple(float(thresholds[method]) for method in METHODS))

    @property
    def needs_method(self) -> bool:
        """Whether a verdict needs the predicted method."""
        return len(self.thresholds) > 1

    def threshold(self, predicted: Method | None) -> float:
        """The threshold for an image with this predicted method; ModelError where the rule needs one and has none."""
        if not self.needs_method:
            return self.thresholds[0]
        if predicted is None:
            raise ModelError(f'the decision rule "{self.describe()}" needs a predicted method', reason="signature")
        return self.thresholds[METHODS.index(predicted)]

    def verdict(self, probability: float, predicted: Method | None) -> bool:
        """True for stego: `probability` is strictly greater than the threshold."""
        return probability > self.threshold(predicted)

    def describe(self) -> str:
        """Stable text for labels and provenance, e.g. `probability > 0.5`."""
        if not self.needs_method:
            return f"probability > {self.thresholds[0]!r}"
        per_method = (f"{method} {value!r}" for method, value in zip(METHODS, self.thresholds, strict=True))
        return f"probability > {', '.join(per_method)}"


PLAIN: Final = DecisionRule.single()
PRODUCTION: Final = DecisionRule.per_method()
