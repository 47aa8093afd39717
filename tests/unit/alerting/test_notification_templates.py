"""Subject, text mail, HTML mail and Slack message, rendered by Alertmanager's engine."""

from __future__ import annotations

import html as html_module
import re
import subprocess
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

from support.servers import program

pytestmark = pytest.mark.usefixtures("release")

Notification = dict[str, Any]
Make = Callable[..., Notification]
Render = Callable[..., str]

EVIDENCE = "http://127.0.0.1:9877/evaluations/latest/misclassified?model=production&dataset=reference"
LATEST = "http://127.0.0.1:9877/evaluations/latest?model=production&dataset=reference"
DASHBOARD = "http://127.0.0.1:3000/d/starlight-{}?var-model=production&var-dataset=reference"
RUNBOOKS = "http://127.0.0.1:9877/runbooks"
SILENCE = (
    "http://127.0.0.1:9093/#/silences/new?filter=%7Bdataset%3D%22reference%22%2Cinstance%3D%22127.0.0.1%3A9877%22%2C"
    "job%3D%22starlight-exporter%22%2Cmodel%3D%22production%22%2Cseverity%3D%22critical%22%7D"
)
SUITE, FALSE_POSITIVES, BELOW_BASELINE, BELOW_FLOOR, RESOLVED = range(5)
"""Alerts of `mixed`, in the order of Alertmanager; two are about the same method."""

FAILED_CHECKS = (
    "production on reference fails 3 of 18 checks: detection_baseline (lsb), detection_floor (lsb), fpr_baseline."
)
SLOWER = (
    "production on reference: p95 latency is 1.31 × that of the baseline model in the same run (99% CI from 1.25;"
    " 4.10 ms, 1,000 images)."
)
MODEL_FILE = "Model file 0123456789ab replaced fedcba987654, loaded at 2026-11-24 03:32:10 UTC."
QUERY = "http://127.0.0.1:9090/graph?g0.expr=starlight_detection_ratio+%3C%3D+0.95&g0.tab=1"
VOID = {"meta", "br", "hr", "img", "link", "input"}
PHONE_WIDTH = 390


class Page(HTMLParser):
    """Parsed tags, visible text and links of an HTML page. Raises AssertionError for unclosed tags."""

    def __init__(self, source: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.links: list[tuple[str, str]] = []
        self.text = ""
        self._open: list[str] = []
        self._link = ""
        self.feed(source)
        self.close()
        assert not self._open, f"not closed: {self._open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)
        if tag == "a":
            self._link = dict(attrs).get("href") or ""

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1] in {"style", "title"}:
            return
        if self._open and self._open[-1] == "a":
            self.links.append((data, self._link))
        self.text += data


def test_subject_has_severity_problem_and_model(render: Render, make_notification: Make) -> None:
    assert render("starlight.subject", make_notification(BELOW_FLOOR)) == (
        "[CRITICAL] Detection Rate (lsb): production on reference"
    )


def test_provisional_result_is_named_in_subject_and_text(render: Render, make_notification: Make) -> None:
    notification = make_notification(BELOW_FLOOR, labels={"alertname": "StarlightProvisionalRegression"})
    sentence = "The check fails significantly (detection_floor). The complete result follows."
    for alert in notification["alerts"]:
        alert["annotations"]["description"] = f"production on large, provisional (sample of 2 of 9 images). {sentence}"
    assert render("starlight.subject", notification) == (
        "[CRITICAL] Provisional Detection Rate (lsb): production on reference"
    )
    text = render("starlight.mail.text", notification)
    assert text.count("provisional (sample of 2 of 9 images)") == text.count(sentence) == 1


def test_subject_of_group_has_first_problem_and_number_of_others(render: Render, mixed: Notification) -> None:
    """Two of the four firing alerts are about the detection rate of lsb, and one is about all problems."""
    assert render("starlight.subject", mixed) == "[CRITICAL] False Positives and 1 more: production on reference"


def test_subject_of_resolved_group(render: Render, make_notification: Make) -> None:
    assert render("starlight.subject", make_notification(RESOLVED)) == "[RESOLVED] Latency: production on reference"


def test_alerts_without_cause_are_counted_one_by_one(render: Render, make_notification: Make) -> None:
    notification = make_notification(BELOW_BASELINE, BELOW_FLOOR, FALSE_POSITIVES, SUITE, labels={"cause": None})
    assert render("starlight.subject", notification) == (
        "[CRITICAL] Detection Below Baseline (lsb) and 3 more: production on reference"
    )


@pytest.mark.parametrize(
    ("order", "subject"),
    [
        ((BELOW_BASELINE, BELOW_FLOOR, SUITE), "Detection Rate (lsb)"),
        ((SUITE, BELOW_FLOOR, BELOW_BASELINE), "Detection Rate (lsb)"),
        ((FALSE_POSITIVES, BELOW_FLOOR, SUITE, BELOW_BASELINE), "False Positives and 1 more"),
        ((SUITE,), "Regression Suite Failing"),
    ],
)
@pytest.mark.parametrize("template", ["starlight.mail.text", "starlight.slack.text"])
def test_one_problem_is_one_entry_with_a_line_per_alert(
    render: Render, make_notification: Make, template: str, order: tuple[int, ...], subject: str
) -> None:
    notification = make_notification(*order)
    assert render("starlight.subject", notification) == f"[CRITICAL] {subject}: production on reference"
    text = render(template, notification)
    entries = text.count("Since 24 Nov")
    assert entries == (2 if "more" in subject else 1)
    assert text.count("165 of 400 lsb images detected") == min(1, len(order) - 1)
    for index in order:
        name = notification["alerts"][order.index(index)]["labels"]["alertname"]
        words = re.sub(r"(?<!^)(?=[A-Z])", " ", name.removeprefix("Starlight"))
        assert text.count(words) == 1, words


def test_alerts_of_two_methods_or_exporters_are_different_problems(render: Render, make_notification: Make) -> None:
    for changes in (
        {"labels": {"method": "exif"}, "annotations": {"evidence_url": f"{EVIDENCE}&method=exif"}},
        {"labels": {"instance": "other:9877"}, "annotations": {}},
    ):
        notification = make_notification(BELOW_BASELINE, BELOW_FLOOR)
        for part, values in changes.items():
            notification["alerts"][1][part] |= values
        assert " and 1 more" in render("starlight.subject", notification)
        assert render("starlight.mail.text", notification).count("Since 24 Nov") == 2


@pytest.mark.parametrize("template", ["starlight.mail.text", "starlight.mail.html", "starlight.slack.text"])
def test_problems_are_separate_and_not_linked_without_urls(
    render: Render, make_notification: Make, template: str
) -> None:
    """Annotations are empty if the exporter has no URL for users."""
    notification = make_notification(FALSE_POSITIVES, BELOW_FLOOR, BELOW_BASELINE)
    for alert in notification["alerts"]:
        alert["annotations"] |= {"evidence_url": "", "runbook_url": "", "dashboard_url": ""}
    assert " and 1 more" in render("starlight.subject", notification)
    text = render(template, notification)
    assert text.count("Since 24 Nov") == 2
    assert not re.search("Evidence|Dashboard|Runbook", text)


@pytest.mark.parametrize(
    ("labels", "subject"),
    [
        ({"cause": "a <!channel>_b"}, "[CRITICAL] A !Channel B (lsb): production on reference"),
        ({"severity": "warning"}, "[WARNING] Detection Below Floor (lsb): production on reference"),
        ({"severity": "info", "method": None}, "[INFO] Detection Below Floor: production on reference"),
        ({"severity": None}, "[ALERT] Detection Below Floor (lsb): production on reference"),
        ({"format": "png", "reason": "x"}, "[CRITICAL] Detection Below Floor (lsb, png, x): production on reference"),
        ({"dataset": None}, "[CRITICAL] Detection Below Floor (lsb): production"),
        ({"model": None}, "[CRITICAL] Detection Below Floor (lsb): dataset reference"),
        (
            {"alertname": "StarlightExporterDown", "method": None, "model": None, "dataset": None},
            "[CRITICAL] Exporter Down: starlight-exporter 127.0.0.1:9877",
        ),
        (
            {
                **{"alertname": "StarlightExporterAbsent", "job": None, "instance": None},
                **{"method": None, "model": None, "dataset": None},
            },
            "[CRITICAL] Exporter Absent: Starlight",
        ),
        (
            {"alertname": "FPRHigh", "method": None, "model": None, "dataset": None, "instance": None, "job": None},
            "[CRITICAL] FPRHigh: Starlight",
        ),
        ({"alertname": None, "method": None}, "[CRITICAL] Alert without a name: production on reference"),
        ({"model": "a <!channel>\r\nBcc: b@example.org"}, None),
    ],
)
def test_subject_with_missing_or_malicious_labels(
    render: Render, make_notification: Make, labels: dict[str, str | None], subject: str | None
) -> None:
    rendered = render("starlight.subject", make_notification(BELOW_FLOOR, labels={"cause": None} | labels))
    if subject is None:
        # One header line without Slack markup.
        assert not set(rendered) & set("<>&\r\n")
        assert rendered.endswith("a !channel Bcc: b@example.org on reference")
    else:
        assert rendered == subject


def test_text_mail(render: Render, mixed: Notification) -> None:
    assert render("starlight.mail.text", mixed) == (
        f"""\
CRITICAL: production on reference (4 firing, 1 resolved)

False Positives
Since 24 Nov 2026, 03:33 UTC
production on reference: 42 of 5,000 clean images (800 covers) classified as stego, 0.84% (95% CI 0.61–1.13%).
- False Positives Above Baseline: The check fails above 0.022%; the baseline has 0.02%. Worse than the baseline \
(p < 0.001).
- Regression Suite Failing: {FAILED_CHECKS}
{MODEL_FILE}
Evidence: {EVIDENCE}&class=clean
Dashboard: {DASHBOARD.format("detection")}
Runbook: {RUNBOOKS}/StarlightFalsePositivesAboveBaseline.md
Runbook: {RUNBOOKS}/StarlightRegressionSuiteFailing.md
Query: {QUERY}

Detection Rate (lsb)
Since 24 Nov 2026, 03:33 UTC
production on reference: 165 of 400 lsb images detected, 41.25% (95% CI 36.38–46.25%).
- Detection Below Baseline: The check fails below 94.05%; the baseline has 99%. Worse than the baseline (p < 0.001).
- Detection Below Floor: The check fails at 95% or less. Significant (p < 0.001).
{MODEL_FILE}
Evidence: {EVIDENCE}&method=lsb
Dashboard: {DASHBOARD.format("detection")}
Runbook: {RUNBOOKS}/StarlightDetectionBelowBaseline.md
Runbook: {RUNBOOKS}/StarlightDetectionBelowFloor.md
Query: {QUERY}

No longer firing:

Latency
24 Nov 2026, 03:33 to 03:45 UTC (12m3s)
Last value: {SLOWER}
- Latency Above Baseline: The check fails above 1.2 ×. Significant in two consecutive evaluations.
Evidence: {LATEST}#latency
Dashboard: {DASHBOARD.format("latency")}
Runbook: {RUNBOOKS}/StarlightLatencyAboveBaseline.md
Query: {QUERY}

-- 
Target: starlight-exporter 127.0.0.1:9877
Silence: {SILENCE}
Alertmanager: http://127.0.0.1:9093
"""  # noqa: W291 (the signature separator ends with a space)
    )


def test_text_mail_of_alert_without_cause_has_summary_and_description(render: Render, make_notification: Make) -> None:
    """Also the regression suite, if no alert of one of its checks is in the same notification."""
    assert render("starlight.mail.text", make_notification(SUITE)).startswith(
        f"""\
CRITICAL: production on reference (1 firing)

Regression Suite Failing
Since 24 Nov 2026, 03:33 UTC
Production model fails the regression suite (statistically significant).
{FAILED_CHECKS}
{MODEL_FILE}
Evidence: {LATEST}
"""
    )


def test_silence_link_selects_the_common_labels(render: Render, make_notification: Make) -> None:
    name = 'a "model" + b & c'
    text = render("starlight.mail.text", make_notification(BELOW_BASELINE, BELOW_FLOOR, labels={"model": name}))
    link = re.findall(r"^Silence: (\S+)$", text, re.MULTILINE)[0]
    page, _, selected = link.partition("?filter=")
    assert page == "http://127.0.0.1:9093/#/silences/new"
    # Alertmanager's page does not decode "+".
    assert "+" not in selected
    filters = unquote(selected)
    for matcher in ('severity="critical"', 'method="lsb"', 'cause="detection_rate"', 'model="a \\"model\\" + b & c"'):
        assert matcher in filters
    assert "alertname" not in filters
    assert "Silence" not in render("starlight.mail.text", make_notification(RESOLVED))


def test_text_mail_of_resolved_group(render: Render, make_notification: Make) -> None:
    text = render("starlight.mail.text", make_notification(RESOLVED))
    assert text.startswith("RESOLVED: production on reference (1 resolved)\n\nLatency\n24 Nov 2026, 03:33 to")
    assert "No longer firing" not in text
    assert "firing" not in text


def test_end_on_another_day_includes_date(render: Render, make_notification: Make) -> None:
    notification = make_notification(RESOLVED)
    notification["alerts"][0]["endsAt"] = "2026-11-25T00:10:00Z"
    assert "24 Nov 2026, 03:33 to 25 Nov 2026, 00:10 UTC (20h36m50s)" in render("starlight.mail.text", notification)


@pytest.mark.parametrize("template", ["starlight.mail.text", "starlight.slack.text"])
def test_missing_annotations_are_omitted(render: Render, make_notification: Make, template: str) -> None:
    names = ("summary", "description", "evidence_url", "runbook_url", "dashboard_url", "model_file")
    for labels, name in (({}, "Detection Rate (lsb)"), ({"cause": None}, "Detection Below Floor (lsb)")):
        notification = make_notification(BELOW_FLOOR, labels=labels, annotations=dict.fromkeys(names))
        notification["alerts"][0]["generatorURL"] = ""
        text = render(template, notification)
        assert name in text
        for absent in ("Evidence", "Runbook", "Query", "Dashboard", "Model file", "<no value>", "%!"):
            assert absent not in text


@pytest.mark.parametrize("template", ["starlight.mail.text", "starlight.mail.html", "starlight.slack.text"])
def test_dashboard_link_is_omitted_without_a_base_url(render: Render, make_notification: Make, template: str) -> None:
    """`dashboard_base` is removed from prometheus.yml where there is no Grafana."""
    path = "/starlight-detection?var-model=production&var-dataset=reference"
    notification = make_notification(BELOW_FLOOR, annotations={"dashboard_url": path})
    text = render(template, notification, html=template.endswith("html"))
    assert "Dashboard" not in text
    assert "starlight-detection" not in text


def test_html_mail_has_content_and_links(render: Render, mixed: Notification) -> None:
    page = Page(render("starlight.mail.html", mixed, html=True))
    below_baseline, below_floor, false_positives, latency, suite = (
        f"{RUNBOOKS}/Starlight{name}.md"
        for name in (
            "DetectionBelowBaseline",
            "DetectionBelowFloor",
            "FalsePositivesAboveBaseline",
            "LatencyAboveBaseline",
            "RegressionSuiteFailing",
        )
    )
    assert page.links == [
        ("False Positives Above Baseline", false_positives),
        ("Regression Suite Failing", suite),
        ("Evidence", f"{EVIDENCE}&class=clean"),
        ("Dashboard", DASHBOARD.format("detection")),
        ("Runbook", false_positives),
        ("Query", QUERY),
        ("Detection Below Baseline", below_baseline),
        ("Detection Below Floor", below_floor),
        ("Evidence", f"{EVIDENCE}&method=lsb"),
        ("Dashboard", DASHBOARD.format("detection")),
        ("Runbook", below_baseline),
        ("Query", QUERY),
        ("Latency Above Baseline", latency),
        ("Evidence", f"{LATEST}#latency"),
        ("Dashboard", DASHBOARD.format("latency")),
        ("Runbook", latency),
        ("Query", QUERY),
        ("Alertmanager", "http://127.0.0.1:9093"),
        ("Silence these alerts", SILENCE),
    ]
    for text in (
        "CRITICAL · 4 firing, 1 resolved",
        "production on reference",
        "Detection Rate (lsb)",
        "Since 24 Nov 2026, 03:33 UTC",
        "165 of 400 lsb images detected, 41.25% (95% CI 36.38–46.25%).",
        "Detection Below Floor: The check fails at 95% or less. Significant (p < 0.001).",
        "42 of 5,000 clean images (800 covers) classified as stego",
        MODEL_FILE,
        "No longer firing",
        "Resolved. 24 Nov 2026, 03:33 to 03:45 UTC (12m3s)",
        "Last value: production on reference: p95 latency is 1.31 ×",
    ):
        assert text in page.text
    # Once in the preview of the mail program, once in the entry.
    assert page.text.count("42 of 5,000 clean images") == 2
    assert page.text.count("165 of 400 lsb images") == 1


def test_mail_preview_is_first_alert(render: Render, mixed: Notification) -> None:
    body = render("starlight.mail.html", mixed, html=True).partition("<body")[2].partition(">")[2]
    shown = " ".join(re.sub(r"<[^>]+>", " ", body).split())
    # Not of the regression suite, which is the first alert.
    assert shown.startswith("production on reference: 42 of 5,000 clean images")


def test_html_mail_has_no_external_resources_or_scripts(render: Render, mixed: Notification) -> None:
    source = render("starlight.mail.html", mixed, html=True)
    page = Page(source)
    assert not {tag for tag, _ in page.tags} & {"img", "link", "script", "iframe", "object", "form", "svg", "video"}
    assert not any(name in {"src", "background", "srcset"} for _, attributes in page.tags for name in attributes)
    assert not any(name.startswith("on") for _, attributes in page.tags for name in attributes)
    assert "url(" not in source
    assert "@import" not in source


def test_html_mail_escapes_labels_and_annotations(render: Render, make_notification: Make) -> None:
    attack = "<img src=x onerror=alert(1)>\"&'</style></td>"
    annotations = dict.fromkeys(("description", "summary", "model_file"), attack)
    urls = dict.fromkeys(("evidence_url", "dashboard_url"), "javascript:alert(1)")
    for cause in (None, attack):
        notification = make_notification(
            BELOW_FLOOR,
            labels={"model": attack, "method": attack, "alertname": attack, "cause": cause},
            annotations=annotations | urls,
        )
        page = Page(render("starlight.mail.html", notification, html=True))
        assert "img" not in {tag for tag, _ in page.tags}
        assert attack in page.text
        assert not any(link.startswith("javascript:") for _, link in page.links)
        # Other URL schemes are displayed as text without a link.
        assert "Evidence: javascript:alert(1)" in page.text
        names = {link for link, _ in page.links} - {"Runbook", "Query", "Alertmanager", "Silence these alerts"}
        # With a cause, the name of the alert links to its runbook.
        assert len(names) == (cause is not None)


@pytest.mark.parametrize(
    ("index", "severity", "colour"),
    [
        (BELOW_FLOOR, "critical", "#b3261e"),
        (BELOW_FLOOR, "warning", "#8f5200"),
        (BELOW_FLOOR, "info", "#1f5fa8"),
        (RESOLVED, "critical", "#1e6b3a"),
    ],
)
def test_state_colour_in_mail_and_slack(
    render: Render, make_notification: Make, index: int, severity: str, colour: str
) -> None:
    notification = make_notification(index, labels={"severity": severity})
    assert render("starlight.slack.colour", notification) == colour
    source = render("starlight.mail.html", notification, html=True)
    assert f"background:{colour};border-radius:10px" in source
    assert f"border-left:6px solid {colour}" in source


@pytest.mark.parametrize("colour", ["#b3261e", "#8f5200", "#1f5fa8", "#1e6b3a", "#5f4b8b"])
def test_state_colours_have_sufficient_contrast(colour: str) -> None:
    """Contrast with white of at least 4.5 (WCAG 2.1, 1.4.3)."""
    channels = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in channels]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    assert 1.05 / (luminance + 0.05) >= 4.5


def test_slack_message(render: Render, make_notification: Make) -> None:
    escaped = html_module.escape
    assert render("starlight.slack.text", make_notification(SUITE, BELOW_BASELINE, BELOW_FLOOR, RESOLVED)) == (
        f"""\
*Detection Rate (lsb)*
Since 24 Nov 2026, 03:33 UTC
production on reference: 165 of 400 lsb images detected, 41.25% (95% CI 36.38–46.25%).
• Detection Below Baseline: The check fails below 94.05%; the baseline has 99%. Worse than the baseline (p &lt; 0.001).
• Detection Below Floor: The check fails at 95% or less. Significant (p &lt; 0.001).
• Regression Suite Failing: {FAILED_CHECKS}
{MODEL_FILE}
<{escaped(EVIDENCE)}&amp;method=lsb|Evidence>   <{escaped(DASHBOARD.format("detection"))}|Dashboard>   \
<{RUNBOOKS}/StarlightDetectionBelowBaseline.md|Runbook>   <{escaped(QUERY)}|Query>

No longer firing:

*Latency*
Resolved. 24 Nov 2026, 03:33 to 03:45 UTC (12m3s)
Last value: {SLOWER}
• Latency Above Baseline: The check fails above 1.2 ×. Significant in two consecutive evaluations.
<{escaped(LATEST)}#latency|Evidence>   <{escaped(DASHBOARD.format("latency"))}|Dashboard>   \
<{RUNBOOKS}/StarlightLatencyAboveBaseline.md|Runbook>   <{escaped(QUERY)}|Query>

Target: starlight-exporter 127.0.0.1:9877
<{SILENCE}|Silence these alerts>
"""
    )


def test_slack_message_escapes_mentions(render: Render, make_notification: Make) -> None:
    call = "<!channel> & <http://example.org|click>"
    texts = dict.fromkeys(("description", "summary", "model_file"), call)
    urls = dict.fromkeys(("runbook_url", "dashboard_url"), "http://example.org/|<!here>")
    for cause in (None, call):
        notification = make_notification(
            BELOW_FLOOR,
            labels={"model": call, "method": call, "alertname": call, "cause": cause},
            annotations=texts | urls,
        )
        text = render("starlight.slack.text", notification) + render("starlight.slack.title", notification)
        assert "<!" not in text
        assert text.count("&lt;!channel&gt; &amp; &lt;http://example.org|click&gt;") == 3
        # Only the links to evidence, query and silence remain as markup.
        assert re.findall(r"<[^>]*\|([\w ]+)>", text) == ["Evidence", "Query", "Silence these alerts"]


@pytest.mark.slow
@pytest.mark.parametrize("model", ["production", "a_model_name_without_a_line_break_" * 3])
def test_html_mail_fits_phone_width(render: Render, make_notification: Make, tmp_path: Path, model: str) -> None:
    notification = make_notification(
        *range(5),
        labels={"model": model},
        annotations={
            "description": f"{model} is bad. The check fails above {model}.",
            "model_file": f"Model file {model}.",
        },
    )
    mail = html_module.escape(render("starlight.mail.html", notification, html=True))
    page = tmp_path / "phone.html"
    # A browser window cannot be as narrow as a phone, but a frame can.
    page.write_text(
        f'<!doctype html><body><iframe id="phone" style="border:0;width:{PHONE_WIDTH}px;height:700px" srcdoc="{mail}">'
        "</iframe><script>addEventListener('load', () => {"
        "const inside = document.getElementById('phone').contentDocument;"
        "const small = [...inside.querySelectorAll('table.card a')].map(link => link.offsetHeight);"
        "document.title = [inside.documentElement.scrollWidth, Math.min(...small)].join(' '); })</script>"
    )
    done = subprocess.run(
        [
            program("chromium"),
            *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
            *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
            f"--user-data-dir={tmp_path / 'profile'}",
            "--virtual-time-budget=3000",
            "--dump-dom",
            page.as_uri(),
        ],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    title = re.search(r"<title>(\d+) (\d+)</title>", done.stdout)
    assert title, done.stdout[-500:]
    width, smallest_button = int(title[1]), int(title[2])
    assert width <= PHONE_WIDTH
    assert smallest_button >= 44
