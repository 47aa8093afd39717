"""The life of the exporter in a network namespace without routes: it looks up no host and connects nowhere."""

from __future__ import annotations

import re
import shlex
import sys
from pathlib import Path
from typing import Final

import psutil
import pytest

from attacks.outcome import Outcome, Requirement, none_of
from support.exporter import exporter_command, write_config
from support.models import write_random_model
from support.servers import STOP_TIMEOUT, Server, program, run_tool
from support.stored import history_records
from support.waiting import TIMEOUT, wait_until

_PORT: Final = 9877
_CALL: Final = re.compile(r"\b(connect|sendto|sendmsg|sendmmsg)\(.*")
_LOCAL: Final = re.compile(
    r'sa_family=(AF_UNIX|AF_NETLINK)|inet_addr\("127\.|"::1"|sa_family=AF_UNSPEC|, NULL, 0\)|msg_name=NULL'
)
_SCRAPE: Final = f"import urllib.request; urllib.request.urlopen('http://127.0.0.1:{_PORT}/metrics').read()"


def attack(folder: Path) -> Outcome:
    """Start, evaluate, scrape and stop below strace; return every call that leaves the machine. Skip without root."""
    trace = folder / "trace"
    home = folder / "home"
    home.mkdir()
    for name in ("strace", "unshare", "nsenter", "ip"):
        program(name)
    if run_tool(["unshare", "-n", "true"])[0] != 0:
        pytest.skip("no network namespace can be created")
    write_random_model(folder / "models" / "model.onnx")
    config = write_config(folder, latency={"sample": 20})
    command = shlex.join(
        [
            "strace",
            "-f",
            "--seccomp-bpf",
            "-qq",
            "-e",
            "trace=network",
            "-o",
            str(trace),
            *exporter_command(config, _PORT),
        ]
    )
    server = Server(
        ["unshare", "-n", "sh", "-c", f"ip link set lo up && exec {command}"],
        port=_PORT,
        ready_path="",
        log=folder / "exporter.log",
        environment={"HOME": str(home), "XDG_CACHE_HOME": str(home / ".cache")},
    )
    with server:
        wait_until(
            lambda: len(history_records(folder / "data")) or None,
            lambda: server.log.read_text()[-3000:],
            timeout=TIMEOUT * 3,
        )
        scraped = run_tool(["nsenter", "-t", str(server.process.pid), "-n", sys.executable, "-c", _SCRAPE])
        # strace passes no signal on: the exporter is its child.
        psutil.Process(server.process.pid).children()[0].terminate()
        code = server.process.wait(STOP_TIMEOUT * 3)
    calls = [line for line in trace.read_text(errors="replace").splitlines() if _CALL.search(line)]
    remote = [line.split(" ", 1)[1][:120] for line in calls if not _LOCAL.search(line) and "sendto(" not in line]
    remote += [line for line in calls if "sendto(" in line and "AF_INET" in line and not _LOCAL.search(line)]
    kept = [str(file.relative_to(home)) for file in home.rglob("*") if file.is_file()]
    return Outcome(
        "Network access",
        "start, evaluation, scrape and shutdown without routes",
        (
            Requirement("result, scrape and exit code", f"1; {scraped[0]}; {code}", (scraped[0], code) == (0, 0)),
            none_of("connections and datagrams to other than loopback", remote),
            none_of("files in the home directory", kept),
        ),
        f"{len(calls)} network calls seen by strace",
    )
