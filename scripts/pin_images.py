#!/usr/bin/env python3
"""Add the digests of the images to docker-compose.yml and Dockerfile."""

from wrapper import run_command

if __name__ == "__main__":
    raise SystemExit(run_command("stack.pin_images"))
