"""An S3-compatible server on loopback, and objects in it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

BUCKET = "images"


@contextmanager
def s3_server() -> Iterator[str]:
    """Start a server; yield its address."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        yield f"http://{host}:{port}"
    finally:
        server.stop()


def s3_environment(address: str) -> dict[str, str]:
    """Return the environment variables of a client of the server."""
    return {
        "AWS_ENDPOINT_URL": address,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }


def use_s3(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    """Make this process and its children clients of the server."""
    for name, value in s3_environment(address).items():
        monkeypatch.setenv(name, value)


class Objects:
    """Objects of a bucket, which is created."""

    def __init__(self, address: str, bucket: str = BUCKET) -> None:
        import boto3  # type: ignore[import-untyped]

        self.bucket = bucket
        self._client: Any = boto3.client(
            "s3",
            endpoint_url=address,
            aws_access_key_id="test",
            aws_secret_access_key="test",
            region_name="us-east-1",
        )
        self._client.create_bucket(Bucket=bucket)

    def put(self, objects: Mapping[str, bytes]) -> None:
        """Write objects."""
        for name, data in objects.items():
            self._client.put_object(Bucket=self.bucket, Key=name, Body=data)

    def put_folder(self, folder: Path, prefix: str) -> None:
        """Write the files of a folder."""
        files = sorted(file for file in folder.rglob("*") if file.is_file())
        self.put({f"{prefix}/{file.relative_to(folder)}": file.read_bytes() for file in files})

    def delete(self, name: str) -> None:
        """Delete an object."""
        self._client.delete_object(Bucket=self.bucket, Key=name)

    def delete_bucket(self) -> None:
        """Delete the empty bucket."""
        self._client.delete_bucket(Bucket=self.bucket)
