"""A folder with a production model, a baseline model, images and a configuration, for the commands of the baseline."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from starlight_exporter.detector.decision import PRODUCTION_THRESHOLDS

ROOT = Path(__file__).resolve().parents[2]
V3, V4 = (ROOT / "models" / name / "model.onnx" for name in ("v3", "v4"))
RULE: dict[str, Any] = {"thresholds": dict(PRODUCTION_THRESHOLDS)}


@dataclass(frozen=True, slots=True)
class BaselineSetup:
    """Paths of the files; `recorded` does not exist at first."""

    config: Path
    production: Path
    baseline: Path
    recorded: Path
    images: Path

    def configure(self, **changes: Any) -> None:
        """Write the configuration; `changes` replace its sections, None removes one."""
        models = [
            {"name": "production", "file": str(self.production), "role": "production", "decision": RULE},
            {"name": "accepted", "file": str(self.baseline), "role": "baseline", "decision": RULE},
        ]
        content = {
            "models": models,
            "datasets": [{"name": "missing", "path": "missing"}, {"name": "small", "path": str(self.images)}],
            "baseline": str(self.recorded),
            "latency": {"sample": 30},
            **changes,
        }
        self.config.write_text(yaml.safe_dump({key: value for key, value in content.items() if value is not None}))

    def model(self, role: str, **changes: Any) -> dict[str, Any]:
        """Return the configuration of a model of this role."""
        file = self.production if role == "production" else self.baseline
        return {"name": role, "file": str(file), "role": role, "decision": RULE, **changes}


def baseline_setup(folder: Path, images: Path) -> BaselineSetup:
    """Copy v4 as the production model and v3 as the baseline model into `folder`, and write the configuration."""
    setup = BaselineSetup(
        config=folder / "starlight.yml",
        production=folder / "production" / "model.onnx",
        baseline=folder / "baseline" / "model.onnx",
        recorded=folder / "recorded" / "baseline.json",
        images=images,
    )
    for source, copy in ((V4, setup.production), (V3, setup.baseline)):
        copy.parent.mkdir()
        shutil.copy(source, copy)
    setup.configure()
    return setup
