"""Alerts of the last day as episodes, with start, end and current state."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from starlight_exporter.http_client import shown_url
from starlight_exporter.http_client_config import Endpoint
from starlight_exporter.markdown.prometheus import Prometheus, Series, parsing

DAY_SECONDS = 86_400.0
STEP_SECONDS = 60.0
_NOT_IDENTITY = frozenset({"__name__", "alertstate"})
_NOT_SUBJECT = frozenset({"alertname", "severity", "job", "instance"})


@dataclass(frozen=True, slots=True)
class Episode:
    """One alert from start to end (UTC seconds); `ended` is None while it is active.

    `state` is firing, pending or resolved; with Alertmanager also `firing, silenced` or `firing, inhibited`.
    """

    name: str
    severity: str
    labels: Mapping[str, str]
    started: float
    ended: float | None
    state: str

    def subject(self) -> str:
        """Return the labels that identify the subject of the alert, as `name=value`, sorted."""
        return ", ".join(f"{k}={v}" for k, v in sorted(self.labels.items()) if k not in _NOT_SUBJECT)


def recent_episodes(prometheus: Prometheus, *, now: float) -> tuple[Episode, ...]:
    """Return the episodes of the last day that fired or are pending, newest first.

    An end is exact to one minute. A start is the time in ALERTS_FOR_STATE, which may be more than a day ago.
    """
    end = now - now % STEP_SECONDS
    window = {"start": end - DAY_SECONDS, "end": end, "step": STEP_SECONDS}
    states = prometheus.range('ALERTS{alertname=~"Starlight.+"}', **window)
    since = prometheus.range('ALERTS_FOR_STATE{alertname=~"Starlight.+"}', **window)
    starts = {_identity(series.labels): dict(series.points) for series in since}
    episodes = [
        episode
        for series in _joined(states)
        for episode in _episodes(series, starts.get(_identity(series[0]), {}), end)
    ]
    return tuple(sorted(episodes, key=lambda one: (-one.started, one.name, one.subject())))


def with_silences(episodes: Iterable[Episode], alertmanager: Endpoint) -> tuple[Episode, ...]:
    """Return the episodes with the silenced and inhibited ones marked. MonitoringError without Alertmanager."""
    suppressed: dict[frozenset[tuple[str, str]], str] = {}
    with parsing(shown_url(alertmanager.url), "Alertmanager", "its alerts"):
        for alert in alertmanager.client().get_json(f"{alertmanager.url.rstrip('/')}/api/v2/alerts", "Alertmanager"):
            status = alert["status"]
            reason = "silenced" if status["silencedBy"] else "inhibited" if status["inhibitedBy"] else ""
            suppressed[frozenset(alert["labels"].items())] = reason

    def marked(episode: Episode) -> Episode:
        # Alertmanager's alerts also have the external labels, so the labels of the episode are a subset.
        own = set(episode.labels.items())
        reason = next((reason for labels, reason in suppressed.items() if own <= labels), "")
        if not reason or episode.state != "firing":
            return episode
        return replace(episode, state=f"{episode.state}, {reason}")

    return tuple(marked(episode) for episode in episodes)


def _identity(labels: Mapping[str, str]) -> frozenset[tuple[str, str]]:
    return frozenset((name, value) for name, value in labels.items() if name not in _NOT_IDENTITY)


def _joined(states: Iterable[Series]) -> list[tuple[dict[str, str], dict[float, str]]]:
    """Merge the pending and the firing series of each alert into one timeline of states."""
    found: dict[frozenset[tuple[str, str]], dict[float, str]] = {}
    for series in states:
        timeline = found.setdefault(_identity(series.labels), {})
        for at, _ in series.points:
            # Both can exist at the instant of the change; firing is the newer one.
            if timeline.get(at) != "firing":
                timeline[at] = series.labels["alertstate"]
    return [(dict(sorted(identity)), timeline) for identity, timeline in found.items()]


def _episodes(
    alert: tuple[dict[str, str], dict[float, str]], starts: Mapping[float, float], end: float
) -> Iterable[Episode]:
    labels, timeline = alert
    runs: list[list[float]] = []
    for at in sorted(timeline):
        if runs and at - runs[-1][-1] <= STEP_SECONDS:
            runs[-1].append(at)
        else:
            runs.append([at])
    for run in runs:
        active = run[-1] >= end
        fired = any(timeline[at] == "firing" for at in run)
        if not fired and not active:
            continue
        yield Episode(
            name=labels["alertname"],
            severity=labels.get("severity", ""),
            labels=labels,
            started=min([starts[at] for at in run if at in starts], default=run[0]),
            ended=None if active else run[-1] + STEP_SECONDS,
            state=timeline[run[-1]] if active else "resolved",
        )
