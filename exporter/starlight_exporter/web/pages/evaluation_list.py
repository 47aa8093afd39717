"""Filters and order of the list of stored evaluations."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from starlight_exporter.errors import QueryError
from starlight_exporter.publish.retention import Entry
from starlight_exporter.web.pages.images import Choice
from starlight_exporter.web.pages.page import SitePath, url

PATH: Final = "/evaluations"

LIST_FILTERS: Final = ("model", "dataset", "checks")
CHECKS: Final = ("significant", "failed", "passed")
"""Values of the filter `checks`: failures that are significant, failures that are not, and no failures."""
ORDERS: Final = ("ascending", "descending")


def checks_of(entry: Entry) -> str | None:
    """Return the value of the filter `checks`; None for an unlabelled dataset, which has no checks."""
    if entry.alarms is not None:
        return None
    return "significant" if entry.significant_checks else "failed" if entry.failed_checks else "passed"


_VALUES: Final[Mapping[str, Callable[[Entry], str | None]]] = {
    "model": lambda entry: entry.model,
    "dataset": lambda entry: entry.dataset,
    "checks": checks_of,
}
_SORT_KEYS: Final[Mapping[str, Callable[[Entry], str | float | None]]] = {
    "model": lambda entry: entry.model,
    "dataset": lambda entry: entry.dataset,
    "false_positive_rate": lambda entry: entry.clean.ratio,
    "detection_rate": lambda entry: entry.stego.ratio,
    "failed_checks": lambda entry: None if entry.alarms is not None else entry.failed_checks,
}
SORT_KEYS: Final = ("finished", *_SORT_KEYS)
_FIRST_ORDER: Final[Mapping[str, str]] = {
    key: "ascending" if key in ("model", "dataset", "detection_rate") else "descending" for key in SORT_KEYS
}
"""Order of a column when it is selected: names and the lowest detection rates first, else the highest values."""


@dataclass(frozen=True, slots=True)
class ListQuery:
    """Filters (None: all) and order of the list; the newest evaluations are first by default."""

    filters: Mapping[str, str]
    sort: str = "finished"
    order: str = "descending"

    @classmethod
    def parse(cls, query: Mapping[str, str]) -> ListQuery:
        """Parse the query string; QueryError names the invalid parameter and the expected values."""
        for name, known in (("checks", CHECKS), ("sort", SORT_KEYS), ("order", ORDERS)):
            if query.get(name) and query[name] not in known:
                raise QueryError(f"{name}: expected one of {', '.join(known)}; got {query[name][:40]!r}")
        sort = query.get("sort") or "finished"
        return cls(
            filters={name: query[name] for name in LIST_FILTERS if query.get(name)},
            sort=sort,
            order=query.get("order") or _FIRST_ORDER[sort],
        )

    @property
    def parameters(self) -> dict[str, str]:
        """The query string of this list, without defaults."""
        order = {} if self.order == _FIRST_ORDER[self.sort] else {"order": self.order}
        sort = {} if self.sort == "finished" else {"sort": self.sort}
        return {**self.filters, **sort, **order}

    def selected(self, entries: Sequence[Entry]) -> list[Entry]:
        """Return the entries that match the filters, in order. `entries` are the newest first.

        Rates that were not measured are last in either order.
        """
        matching = [entry for entry in entries if self._matches(entry)]
        if self.sort == "finished":
            # The order in which they were stored, whatever the clock did.
            return matching if self.order == "descending" else matching[::-1]
        key = _SORT_KEYS[self.sort]
        known = [entry for entry in matching if key(entry) is not None]
        unknown = [entry for entry in matching if key(entry) is None]
        known.sort(key=key, reverse=self.order == "descending")  # type: ignore[arg-type]  # without None
        return [*known, *unknown]

    def choices(self, entries: Sequence[Entry]) -> list[tuple[str, list[Choice]]]:
        """Return the values of every filter with their numbers of evaluations under the other filters."""
        filters: list[tuple[str, list[Choice]]] = []
        for name in LIST_FILTERS:
            counts = Counter(_VALUES[name](entry) for entry in entries if self._matches(entry, except_for=name))
            active = self.filters.get(name)
            values = list(CHECKS) if name == "checks" else sorted(filter(None, counts))
            if active is not None and active not in values:
                values.append(active)
            if len(values) < 2 and active is None:
                continue
            every = Choice("all", self._link(**{name: None}), active is None)
            filters.append(
                (name, [every, *(Choice(v, self._link(**{name: v}), v == active, counts[v]) for v in values)])
            )
        return filters

    def heading(self, sort: str) -> SitePath:
        """Return the link of a column: sort by it, or reverse its order."""
        other = ORDERS[1 - ORDERS.index(self.order)] if sort == self.sort else _FIRST_ORDER[sort]
        return url(PATH, ListQuery(self.filters, sort, other).parameters)

    def _matches(self, entry: Entry, *, except_for: str | None = None) -> bool:
        return all(_VALUES[name](entry) == value for name, value in self.filters.items() if name != except_for)

    def _link(self, **changed: str | None) -> SitePath:
        return url(PATH, {**self.parameters, **changed})
