"""Configurations and commands of docs/production.md are valid."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import bcrypt
import yaml

from starlight_exporter.asset_files import exported_files
from starlight_exporter.cli.main import build_parser as build_command_parser
from starlight_exporter.cli.service import build_parser
from starlight_exporter.config import load_config
from starlight_exporter.web.site import make_service_url
from starlight_exporter.web.web_config import load_web_config
from support.certificates import Authority
from support.documents import PRODUCTION, blocks, command, commands
from support.servers import program
from support.units import UNIT, values

CONFIG, WEB, PAIR = blocks(PRODUCTION, "yaml")


def test_exporter_configuration_is_valid_and_in_the_folders_of_the_unit(tmp_path: Path) -> None:
    file = tmp_path / "starlight.yml"
    file.write_text(CONFIG)
    config = load_config(file)
    (state,), (cache,) = values(UNIT, "StateDirectory"), values(UNIT, "CacheDirectory")
    assert config.paths.data.is_relative_to(f"/var/lib/{state}")
    assert config.paths.results.is_relative_to(f"/var/lib/{state}")
    assert config.paths.cache == Path("/var/cache") / cache


def test_web_configuration_is_valid(tmp_path: Path) -> None:
    Authority("tests").issue(tmp_path, "server")
    file = tmp_path / "web.yml"
    file.write_text(WEB)
    load_web_config(file)


def test_prometheus_configuration_is_valid(tmp_path: Path) -> None:
    file = tmp_path / "prometheus.yml"
    file.write_text(PAIR)
    done = subprocess.run(
        [program("promtool"), "check", "config", str(file)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert yaml.safe_load(PAIR)


def test_commands_are_valid() -> None:
    done = subprocess.run(
        ["bash", "-n"], input="\n".join(commands(PRODUCTION)), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_commands_of_the_exporter_have_its_flags() -> None:
    (arguments,) = [line for line in commands(PRODUCTION) if line.startswith("ARGS=")]
    options = build_parser().parse_args(shlex.split(arguments.removeprefix("ARGS=").strip('"')))
    for name in ("external", "grafana", "prometheus"):
        assert make_service_url(f"--web.{name}-url", getattr(options, f"{name}_url")).startswith("https://")
    found = [shlex.split(line)[1:] for line in commands(PRODUCTION) if "/bin/starlight-exporter" in line]
    for words in found:
        build_parser().parse_args(words)
    assert len(found) == 2


def test_commands_of_starlight_have_its_flags() -> None:
    found = [shlex.split(line) for line in commands(PRODUCTION) if re.match(r"(\S+/)?starlight ", line)]
    for _, *words in found:
        build_command_parser().parse_args(words)
    assert len(found) == 3


def test_installed_files_exist() -> None:
    for line in commands(PRODUCTION):
        if line.startswith("install "):
            exported = Path(shlex.split(line)[-2]).relative_to("/opt/starlight/assets")
            assert exported in set(exported_files())


def test_password_is_hashed_as_the_web_configuration_requires() -> None:
    (line,) = [line for line in commands(PRODUCTION) if "bcrypt" in line]
    done = subprocess.run(
        [sys.executable, *shlex.split(line)[1:]],
        input="secret\n",
        capture_output=True,
        text=True,
        check=True,
        # Without a terminal, the password is read from standard input.
        start_new_session=True,
    )
    assert bcrypt.checkpw(b"secret", done.stdout.split()[-1].encode())


def test_line_of_a_proxy_user_has_a_hash() -> None:
    line = command(PRODUCTION, "printf").replace("openssl passwd -6", "openssl passwd -6 -stdin").partition(" >> ")[0]
    done = subprocess.run(["bash", "-c", line], input="secret\n", capture_output=True, text=True, check=True)
    assert done.stdout.startswith("NAME:$6$")
