"""The document and its charts as files, and the document alone in a pipe."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from starlight_exporter.markdown.document import UPDATED, Document
from starlight_exporter.markdown.writer import mark_stale, write_document

DOCUMENT = Document(f"# Title\n\n{UPDATED} now\n", {"chart.svg": "<svg/>"})


def test_unchanged_document_is_not_written_again(tmp_path: Path) -> None:
    output = tmp_path / "document.md"
    assert write_document(output, DOCUMENT)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["chart.svg", "document.md"]
    later = Document(DOCUMENT.text.replace("now", "later"), DOCUMENT.charts)
    assert not write_document(output, later)
    (tmp_path / "chart.svg").unlink()
    assert write_document(output, later)
    assert output.read_text() == later.text


def test_pipe_receives_the_document_without_charts(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with ThreadPoolExecutor(1) as reader:
        for _ in range(2):
            read = reader.submit(pipe.read_text)
            assert write_document(pipe, DOCUMENT)
            assert read.result(timeout=60) == DOCUMENT.text
    assert not mark_stale(pipe, since=0.0, reason="")
    assert list(tmp_path.iterdir()) == [pipe]
