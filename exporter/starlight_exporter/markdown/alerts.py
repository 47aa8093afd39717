"""Alerts of the last day as episodes: from when to when, and how each one stands now."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from starlight_exporter.markdown.prometheus import Prometheus, Series, get_json, reading

DAY_SECONDS = 86_400.0
STEP_SECONDS = 60.0
_NOT_IDENTITY = frozenset({"__name__", "alertstate"})
_SHOWN_ELSEWHERE = frozenset({"alertname", "severity", "job", "instance"})


@dataclass(frozen=True, slots=True)
class Episode:
    """One alert from start to end, UTC seconds; `ended` is None while it lasts.

    `state` is firing, pending or resolved, with what Alertmanager adds: `firing, silenced`, `firing, inhibited`.
    """

    name: str
    severity: str
    labels: Mapping[str, str]
    started: float
    ended: float | None
    state: str

    def about(self) -> str:
        """The labels that say what the alert is about, as `name=value`, sorted."""
        return ", ".join(f"{k}={v}" for k, v in sorted(self.labels.items()) if k not in _SHOWN_ELSEWHERE)


def recent_episodes(prometheus: Prometheus, *, now: float) -> tuple[Episode, ...]:
    """Episodes of the last day that reached firing, or are pending now; the latest start first.

    Ends are exact to a minute. A start is when the condition began to hold, as the rule engine noted it, even where
    that was before the last day.
    """
    end = now - now % STEP_SECONDS
    window = {"start": end - DAY_SECONDS, "end": end, "step": STEP_SECONDS}
    states = prometheus.range('ALERTS{alertname=~"Starlight.+"}', **window)
    since = prometheus.range('ALERTS_FOR_STATE{alertname=~"Starlight.+"}', **window)
    begun = {_identity(series.labels): dict(series.points) for series in since}
    episodes = [
        episode for series in _joined(states) for episode in _episodes(series, begun.get(_identity(series[0]), {}), end)
    ]
    return tuple(sorted(episodes, key=lambda one: (-one.started, one.name, one.about())))


def with_silences(episodes: Iterable[Episode], alertmanager: str) -> tuple[Episode, ...]:
    """The same episodes; firing ones that Alertmanager keeps quiet say so. MonitoringError if it gives no answer."""
    quiet: dict[frozenset[tuple[str, str]], str] = {}
    with reading(alertmanager, "Alertmanager", "its alerts"):
        for alert in get_json(f"{alertmanager.rstrip('/')}/api/v2/alerts", "Alertmanager"):
            status = alert["status"]
            word = "silenced" if status["silencedBy"] else "inhibited" if status["inhibitedBy"] else ""
            quiet[frozenset(alert["labels"].items())] = word

    def told(episode: Episode) -> Episode:
        # Alertmanager's labels have external ones on top, or lost some to relabelling: the alert's own decide.
        own = set(episode.labels.items())
        word = next((word for labels, word in quiet.items() if own <= labels), "")
        if not word or episode.state != "firing":
            return episode
        return Episode(
            episode.name,
            episode.severity,
            episode.labels,
            episode.started,
            episode.ended,
            f"{episode.state}, {word}",
        )

    return tuple(told(episode) for episode in episodes)


def _identity(labels: Mapping[str, str]) -> frozenset[tuple[str, str]]:
    return frozenset((name, value) for name, value in labels.items() if name not in _NOT_IDENTITY)


def _joined(states: Iterable[Series]) -> list[tuple[dict[str, str], dict[float, str]]]:
    """One timeline of states per alert, made of its pending and its firing series."""
    found: dict[frozenset[tuple[str, str]], dict[float, str]] = {}
    for series in states:
        timeline = found.setdefault(_identity(series.labels), {})
        for at, _ in series.points:
            # Both can be there at one instant of the change; firing is the later one.
            if timeline.get(at) != "firing":
                timeline[at] = series.labels["alertstate"]
    return [(dict(sorted(identity)), timeline) for identity, timeline in found.items()]


def _episodes(
    alert: tuple[dict[str, str], dict[float, str]], begun: Mapping[float, float], end: float
) -> Iterable[Episode]:
    labels, timeline = alert
    runs: list[list[float]] = []
    for at in sorted(timeline):
        if runs and at - runs[-1][-1] <= STEP_SECONDS:
            runs[-1].append(at)
        else:
            runs.append([at])
    for run in runs:
        lasts = run[-1] >= end
        fired = any(timeline[at] == "firing" for at in run)
        if not fired and not lasts:
            continue
        yield Episode(
            name=labels["alertname"],
            severity=labels.get("severity", ""),
            labels=labels,
            started=min([begun[at] for at in run if at in begun], default=run[0]),
            ended=None if lasts else run[-1] + STEP_SECONDS,
            state=timeline[run[-1]] if lasts else "resolved",
        )
