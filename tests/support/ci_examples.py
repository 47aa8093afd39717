"""Script bodies of the CI examples in docs/examples/ci."""

from __future__ import annotations

from pathlib import Path

import yaml

EXAMPLES = Path(__file__).resolve().parents[2] / "docs" / "examples" / "ci"


def github_steps() -> dict[str, str]:
    """Return step → script of the GitHub workflow, with the line continuations joined."""
    content = yaml.safe_load((EXAMPLES / "github.yml").read_text(encoding="utf-8"))
    steps = content["jobs"]["gate"]["steps"]
    return {step["name"]: step["run"].replace("\\\n", " ") for step in steps if "run" in step}


def gitlab_script(job: str) -> str:
    """Return the script of a GitLab job, which runs in one shell, with the line continuations joined."""
    content = yaml.safe_load((EXAMPLES / "gitlab.yml").read_text(encoding="utf-8"))
    return "\n".join(content[job]["script"]).replace("\\\n", " ")


def settings(name: str) -> dict[str, str]:
    """Return the variables of `github.yml` or `gitlab.yml`."""
    content = yaml.safe_load((EXAMPLES / name).read_text(encoding="utf-8"))
    return dict(content["env" if name == "github.yml" else "variables"])
