"""Entry point of worker processes: `python -m starlight_exporter.runs.worker_main` with its arguments (see `main`).

Restricts itself before it imports anything that starts threads.
"""

from __future__ import annotations

import sys
from multiprocessing.connection import Connection

from starlight_exporter.process_isolation import end_with_parent, ignore_group_signals, leave_network, limit_resources
from starlight_exporter.runs.worker_server import serve


def main() -> None:
    """Serve calls until the connection closes, or no call arrives for IDLE seconds (0: wait indefinitely).

    The arguments are CONNECTION LIVENESS MEMORY IDLE NETWORK, and descriptor and URL of a fetcher if there is one.
    NETWORK is `network` if the process keeps its network, otherwise `isolated`.
    """
    connection, liveness, memory_bytes, idle_seconds, network, *fetcher = sys.argv[1:]
    # The parent may end at any time.
    end_with_parent(int(liveness))
    ignore_group_signals()
    isolated = network == "isolated" and leave_network()
    limit_resources(int(memory_bytes))
    if fetcher:
        # Starts a thread, so after the network namespace.
        from starlight_exporter.dataset.sources.fetched import inherit
        from starlight_exporter.dataset.sources.root import RemoteRoot

        inherit(RemoteRoot(fetcher[1]), int(fetcher[0]))
    serve(Connection(int(connection)), float(idle_seconds) or None, network_isolated=isolated)


if __name__ == "__main__":
    main()
