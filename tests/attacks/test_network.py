"""Bounded attacks through the network: slow clients, many scrapes, malformed requests; and no request of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from attacks import malformed_requests, network_access, slow_clients

pytestmark = [pytest.mark.slow, pytest.mark.integration, pytest.mark.timeout(900)]


def test_more_slow_clients_than_connections_do_not_delay_scrapes(tmp_path: Path) -> None:
    outcome = slow_clients.attack_with_slow_clients(tmp_path, seconds=8.0, clients=700, limit_ms=5_000.0)
    assert not outcome.failed


def test_every_scrape_is_answered_during_an_evaluation(tmp_path: Path) -> None:
    outcome = slow_clients.attack_with_many_scrapes(tmp_path, seconds=5.0, least=2.0)
    assert not outcome.failed


def test_no_malformed_request_causes_an_internal_error(tmp_path: Path) -> None:
    outcome = malformed_requests.attack(tmp_path, 1_500)
    assert not outcome.failed


def test_exporter_connects_to_no_other_host(tmp_path: Path) -> None:
    outcome = network_access.attack(tmp_path)
    assert not outcome.failed
