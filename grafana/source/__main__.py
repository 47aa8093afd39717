"""`python -m grafana.source`: generate the dashboards' JSON files."""

from __future__ import annotations

from pathlib import Path

from grafana.source.dashboards import DASHBOARDS

FOLDER = Path(__file__).resolve().parents[1] / "dashboards"


def main() -> None:
    """Write every dashboard and remove files without a generator."""
    FOLDER.mkdir(exist_ok=True)
    written = set()
    for name, build in DASHBOARDS.items():
        path = FOLDER / f"{name}.json"
        path.write_text(build().json(), encoding="utf-8")
        written.add(path)
    for stale in set(FOLDER.glob("*.json")) - written:
        stale.unlink()


if __name__ == "__main__":
    main()
