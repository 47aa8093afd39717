"""Measure the CPU time of an evaluation by where its images are: `python -m benchmarks.sources --images 2000`.

Every evaluation is a process of its own without a cache of decoded images. Its CPU time includes that of its fetcher
process and that of starting both; it does not include the server, which is a process of its own (moto, in Python).
The sources take turns in every round, so that other programs affect all of them. Writes benchmarks/sources.md.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from starlight_exporter.dataset.sources.packing import pack
from starlight_exporter.synthesis.build import synthesise
from starlight_exporter.synthesis.reference import ReferenceRecipe

_HERE: Final = Path(__file__).parent
_MODEL: Final = _HERE.parent / "models" / "production" / "model.onnx"
_BUCKET: Final = "images"
_LOCAL: Final = "folder"
_TITLES: Final = {
    _LOCAL: "folder",
    "tar": "folder of tar shards",
    "parquet": "folder of Parquet shards",
    "s3-tar": "tar shards in S3",
    "s3-parquet": "Parquet shards in S3",
    "s3-objects": "one object per image in S3, label manifest",
}


def main() -> None:
    """Generate the dataset, measure, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--sources", nargs="+", choices=tuple(_TITLES), default=list(_TITLES))
    parser.add_argument("--output", type=Path, default=_HERE / "sources.md")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="starlight-sources-") as name, _server() as environment:
        folder = Path(name)
        count = options.images // 20
        recipe = ReferenceRecipe(1, clean=10 * count, stego=8 * count, negatives=2 * count)
        synthesise(folder / "folder", recipe, workers=2)
        for shard_format in ("tar", "parquet"):
            pack(folder / "folder", folder / shard_format, shard_format)
        places = {
            one: f"s3://{_BUCKET}/{one.removeprefix('s3-')}" if one.startswith("s3") else str(folder / one)
            for one in _TITLES
        }
        _upload(folder, environment["AWS_ENDPOINT_URL"])
        seconds: dict[str, list[float]] = {one: [] for one in options.sources}
        for number in range(options.rounds):
            for one in options.sources if number % 2 == 0 else reversed(options.sources):
                seconds[one].append(_evaluation_seconds(places[one], environment))
                print(f"round {number + 1}: {_TITLES[one]}: {seconds[one][-1]:.2f} s", flush=True)
        starts = [_import_seconds(environment) for _ in range(options.rounds)]
    options.output.write_text(_table(seconds, 20 * count, statistics.median(starts)), encoding="utf-8")


def _evaluation_seconds(dataset: str, environment: dict[str, str]) -> float:
    """Return the CPU time of one evaluation and its fetcher."""
    command = [
        *(sys.executable, "-m", "starlight_exporter.cli.main", "evaluate", "--model", str(_MODEL)),
        *("--dataset", dataset, "--latency-sample", "0"),
    ]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    assert process.stderr is not None
    errors = process.stderr.read().decode()
    _, status, usage = os.wait4(process.pid, 0)
    if os.waitstatus_to_exitcode(status) != 0:
        raise SystemExit(f"{dataset}: {errors[-500:]}")
    return usage.ru_utime + usage.ru_stime


def _import_seconds(environment: dict[str, str]) -> float:
    """Return the CPU time of a process that only imports the libraries of S3."""
    process = subprocess.Popen([sys.executable, "-c", "import s3fs"], env=environment)
    _, _, usage = os.wait4(process.pid, 0)
    return usage.ru_utime + usage.ru_stime


@contextmanager
def _server() -> Iterator[dict[str, str]]:
    """Start an S3 server in a process of its own; yield the environment of its clients."""
    code = (
        "from moto.server import ThreadedMotoServer; import sys\n"
        "server = ThreadedMotoServer(ip_address='127.0.0.1', port=0, verbose=False); server.start()\n"
        "print(server.get_host_and_port()[1], flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        try:
            yield os.environ | {
                "AWS_ENDPOINT_URL": f"http://127.0.0.1:{int(process.stdout.readline())}",
                "AWS_ACCESS_KEY_ID": "test",
                "AWS_SECRET_ACCESS_KEY": "test",
                "AWS_DEFAULT_REGION": "us-east-1",
            }
        finally:
            process.stdin.close()
            process.wait()


def _upload(folder: Path, address: str) -> None:
    import boto3  # type: ignore[import-untyped]

    keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test", "region_name": "us-east-1"}
    client = boto3.client("s3", endpoint_url=address, **keys)
    client.create_bucket(Bucket=_BUCKET)
    for name in ("tar", "parquet"):
        for file in (folder / name).iterdir():
            client.put_object(Bucket=_BUCKET, Key=f"{name}/{file.name}", Body=file.read_bytes())
    for file in (folder / "folder").rglob("*"):
        if file.is_file() and file.suffix != ".json":
            key = f"objects/{file.relative_to(folder / 'folder')}"
            client.put_object(Bucket=_BUCKET, Key=key, Body=file.read_bytes())
    rows = (folder / "tar" / "labels.csv").read_text(encoding="utf-8").splitlines()
    # The same labels without the places in shards.
    labels = "\n".join(row.rsplit(",", 3)[0] for row in rows)
    client.put_object(Bucket=_BUCKET, Key="objects/labels.csv", Body=labels.encode())


def _table(seconds: dict[str, list[float]], images: int, start: float) -> str:
    rounds = len(next(iter(seconds.values())))
    lines = [
        "# CPU time of an evaluation by the source of its images",
        "",
        f"`python -m benchmarks.sources --images {images} --rounds {rounds} --sources {' '.join(seconds)}`:",
        f"the production model on {images:,}",
        "images of the recipe `reference`, without cache and latency run. The S3 server (moto) is a process of its own",
        "on loopback, and not counted. User and system time of the evaluation and its fetcher, with the start of both:",
        "median of the rounds, and median of the ratios to the folder in the same round. Importing the libraries of S3",
        f"takes {start:.2f} s of it, once per process.",
        "",
        "| source | CPU time | ms per image | ratio to the folder | without the import |",
        "|---|---:|---:|---:|---:|",
    ]
    for one, values in seconds.items():
        pairs = list(zip(values, seconds[_LOCAL], strict=True))
        ratio = statistics.median(value / local for value, local in pairs)
        once = start if one.startswith("s3") else 0.0
        without = statistics.median((value - once) / local for value, local in pairs)
        median = statistics.median(values)
        lines.append(
            f"| {_TITLES[one]} | {median:.2f} s | {1000 * median / images:.2f} | {ratio:.3f} | {without:.3f} |"
        )
    lines += ["", "The requirement is a ratio of at most 1.10 for tar shards in S3."]
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    main()
