"""Decision rules: turn a probability into a verdict with one threshold, or one per predicted method."""

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
    """The verdict is stego if the probability is strictly greater than the threshold.

    `thresholds` has one entry, or one per method in the order of METHODS. Create it with `single` or `per_method`.
    Raises ConfigError for another number of thresholds or a threshold outside 0..1.
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
        """Return a rule with the same threshold for all images."""
        return cls((float(threshold),))

    @classmethod
    def per_method(cls, thresholds: Mapping[Method, float] = PRODUCTION_THRESHOLDS) -> DecisionRule:
        """Return a rule with one threshold per predicted method. Raises ConfigError for missing or unknown methods."""
        unknown = sorted(set(thresholds) - set(METHODS))
        missing = [method for method in METHODS if method not in thresholds]
        if unknown or missing:
            groups = {"unknown": unknown, "missing": missing}
            problems = "; ".join(f"{name}: {', '.join(methods)}" for name, methods in groups.items() if methods)
            raise ConfigError(f"thresholds per method need exactly {', '.join(METHODS)} ({problems})")
        return cls(tuple(float(thresholds[method]) for method in METHODS))

    def for_model(self, *, has_method: bool) -> DecisionRule:
        """Return this rule, or PLAIN if this one needs a predicted method and the model has none."""
        return PLAIN if self.needs_method and not has_method else self

    @property
    def needs_method(self) -> bool:
        """Whether the threshold depends on the predicted method."""
        return len(self.thresholds) > 1

    def threshold(self, predicted: Method | None) -> float:
        """Return the threshold for a predicted method. Raises ModelError if the rule needs a method and it is None."""
        if not self.needs_method:
            return self.thresholds[0]
        if predicted is None:
            raise ModelError(f'the decision rule "{self.describe()}" needs a predicted method', reason="signature")
        return self.thresholds[METHODS.index(predicted)]

    def verdict(self, probability: float, predicted: Method | None) -> bool:
        """Return True (stego) if `probability` is strictly greater than the threshold."""
        return probability > self.threshold(predicted)

    def distance(self, probability: float, predicted: Method | None) -> float:
        """Return the absolute difference between `probability` and its threshold. Raises ModelError as `threshold`."""
        return abs(probability - self.threshold(predicted))

    def describe(self) -> str:
        """Return a stable text for labels and provenance, such as `probability > 0.5`."""
        if not self.needs_method:
            return f"probability > {self.thresholds[0]!r}"
        per_method = (f"{method} {value!r}" for method, value in zip(METHODS, self.thresholds, strict=True))
        return f"probability > {', '.join(per_method)}"


PLAIN: Final = DecisionRule.single()
PRODUCTION: Final = DecisionRule.per_method()
