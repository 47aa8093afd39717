"""Run a command from the repository, in its virtual environment. Shared by the scripts of this folder."""

from __future__ import annotations

import os
import sys
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
DEPENDENCY = "onnxruntime"


def run_command(module: str) -> int:
    """Run the command that `module` implements and return its exit code.

    Continues in `.venv` if this is another Python. `--help` runs anywhere, because parsers need no dependencies.
    """
    prog = Path(sys.argv[0]).name
    if {"-h", "--help"}.isdisjoint(sys.argv[1:]):
        python = VENV / "bin" / "python"
        if Path(sys.prefix).resolve() != VENV.resolve() and python.exists():
            os.execv(python, [str(python), *sys.argv])
        if find_spec(DEPENDENCY) is None:
            reason = f"{DEPENDENCY} is not installed; create the environment with ./scripts/setup python"
            print(f"{prog.removesuffix('.py')}: {reason}", file=sys.stderr)
            return 2
    sys.path[:0] = [str(ROOT / "exporter"), str(ROOT)]
    from starlight_exporter.cli.command import run_script

    return run_script(import_module(module), prog=prog, root=ROOT)
