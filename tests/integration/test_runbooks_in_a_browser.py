"""Runbooks are readable on a phone: no page is wider than the window, and links lead to other runbooks."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from support.browser import Browser
from support.rules import RUNBOOKS
from support.web import LocalServer, idle_application

pytestmark = [pytest.mark.integration, pytest.mark.slow]


def test_every_runbook_fits_a_phone(tmp_path: Path) -> None:
    shutil.copytree(RUNBOOKS, tmp_path / "runbooks")
    with LocalServer(idle_application(tmp_path)) as server, Browser(width=390) as browser:
        for file in sorted(RUNBOOKS.glob("*.md")):
            browser.open(f"{server.url}/runbooks/{file.name}")
            assert browser.find("h1").text == file.stem
            assert browser.count(".runbook pre") > 0
            assert not browser.overflows_horizontally(), file.name
            assert browser.console_messages() == [], file.name
        browser.open(f"{server.url}/runbooks/StarlightResultsNotStored.md")
        browser.click("StarlightStorageNearlyFull", within=".runbook")
        assert browser.find("h1").text == "StarlightStorageNearlyFull"
