"""Run the attacks with full counts and write `benchmarks/attacks.md`. Start in the folder `tests`."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from attacks import (
    bad_models,
    clock_steps,
    full_disk,
    hostile_images,
    kills,
    malformed_requests,
    network_access,
    report,
    slow_clients,
    swaps,
)
from attacks.outcome import Outcome

Attack = Callable[[Path, Path | None], Outcome]

ATTACKS: Final[dict[str, Attack]] = {
    "images": lambda folder, covers: hostile_images.attack(folder, 5_000, covers, timeout=3_600.0),
    "kills": lambda folder, _: kills.attack(folder, 200),
    "swaps": lambda folder, _: swaps.attack(folder, 10),
    "disk": lambda folder, _: full_disk.attack(folder, 20),
    "clients": lambda folder, _: slow_clients.attack_with_slow_clients(folder, seconds=60.0),
    "scrapes": lambda folder, _: slow_clients.attack_with_many_scrapes(folder, seconds=60.0, least=190.0),
    "clock": lambda folder, _: clock_steps.attack(folder, clock_steps.STEPS),
    "network": lambda folder, _: network_access.attack(folder),
    "models": lambda folder, _: bad_models.attack(folder, bad_models.MODELS),
    "requests": lambda folder, _: malformed_requests.attack(folder, 2_000),
}


def main() -> int:
    """Run the selected attacks one after the other; return 1 if a requirement is not met."""
    parser = argparse.ArgumentParser(prog="python -m attacks", description=__doc__)
    parser.add_argument("--full", action="store_true", required=True, help="run the full counts (about 40 minutes)")
    parser.add_argument("--covers", type=Path, help="folder with further images to mutate")
    parser.add_argument(
        "names", nargs="*", default=list(ATTACKS), help=f"attacks, by default all: {', '.join(ATTACKS)}"
    )
    options = parser.parse_args()
    failed = 0
    for name in options.names:
        with tempfile.TemporaryDirectory(prefix=f"starlight-attack-{name}-") as folder:
            (Path(folder) / name).mkdir()
            began = time.monotonic()
            outcome = ATTACKS[name](Path(folder) / name, options.covers)
        report.record(name, outcome, time.monotonic() - began)
        for requirement in outcome.requirements:
            print(f"{name}: {'met' if requirement.met else 'NOT MET'}: {requirement.text}: {requirement.measured}")
        failed += len(outcome.failed)
    report.write(tuple(ATTACKS))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
