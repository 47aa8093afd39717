"""The result of an attack: what was required and what was measured."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Requirement:
    """A requirement with the value that was measured."""

    text: str
    measured: str
    met: bool


@dataclass(frozen=True, slots=True)
class Outcome:
    """The requirements of one attack; `count` states its size, `note` what cannot be seen in the values."""

    attack: str
    count: str
    requirements: tuple[Requirement, ...]
    note: str = ""

    @property
    def failed(self) -> tuple[Requirement, ...]:
        """The requirements that are not met."""
        return tuple(one for one in self.requirements if not one.met)


def none_of(text: str, found: Collection[object]) -> Requirement:
    """Return the requirement that nothing was found; the measured value is the count, with up to five examples."""
    examples = ", ".join(sorted(str(one) for one in found)[:5])
    return Requirement(text, f"{len(found):,}" + (f" ({examples})" if examples else ""), not found)


def at_most(text: str, measured: float, limit: float, unit: str) -> Requirement:
    """Return the requirement of an upper limit, inclusive."""
    return Requirement(f"{text} at most {limit:,.4g} {unit}", f"{measured:,.4g} {unit}", measured <= limit)
