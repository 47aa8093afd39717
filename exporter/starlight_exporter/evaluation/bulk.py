"""Bulk pass: score every image of a dataset once, in shards, and merge the results in the order of the listing.

Each thread reads, decodes and scores a few files at a time, so that decoding on one thread overlaps with inference on
another. Memory use depends on the number of threads, not on the size of the dataset.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing

from starlight_exporter.dataset.engine import Engine, shard_files
from starlight_exporter.dataset.facts import FactCollector
from starlight_exporter.dataset.fingerprint import Fingerprint
from starlight_exporter.dataset.listing import Listing
from starlight_exporter.evaluation.embedding_table import EmbeddingCollector
from starlight_exporter.evaluation.predictions import with_resolved_cover
from starlight_exporter.evaluation.progress import Progress
from starlight_exporter.evaluation.results import Prediction
from starlight_exporter.evaluation.shard_job import EvaluationJob
from starlight_exporter.evaluation.shard_predictor import ShardResult


class BulkPass:
    """The bulk pass of one run; its results are complete once all predictions were iterated.

    `readable` counts files without a problem before they were decoded, `cached` images from the cache. `cache_problem`
    is why decoded images could not be stored, None if they were.
    """

    def __init__(self, listing: Listing) -> None:
        self.listing = listing
        self.facts = FactCollector()
        self.embeddings = EmbeddingCollector()
        self.readable = self.cached = 0
        self.cache_problem: str | None = None
        self._fingerprint = Fingerprint()

    def predictions(
        self, job: EvaluationJob, engine: Engine, progress: Progress, numbers: Sequence[int] | None = None
    ) -> Iterator[Prediction]:
        """Yield one prediction per file, in order, or those of the files with these numbers.

        Only `seconds` depends on the engine.
        """
        files = len(self.listing.files) if numbers is None else len(numbers)
        shards = self.listing.shards(shard_files(files, engine), numbers)
        first = 0
        with closing(engine.map(job, shards, progress=lambda done: progress(done, files))) as results:
            for result in results:
                for prediction in result.predictions:
                    complete = with_resolved_cover(prediction, self.listing.covers)
                    self._fingerprint.add(complete, complete.facts.size_bytes)
                    yield complete
                self._collect(first, result)
                first += len(result.predictions)

    def fingerprint(self) -> str:
        """Return the fingerprint of the images that were read."""
        return self._fingerprint.finished(self.listing.stated_facts())

    def _collect(self, first: int, result: ShardResult) -> None:
        observed = [result.predictions[row] for row in result.observed_rows]
        self.facts.add(
            [first + row for row in result.observed_rows],
            [(one.file_class, one.method) for one in observed],
            result.carriers,
            result.observed,
        )
        self.embeddings.add([first + row for row in result.embedding_rows], result.embeddings)
        self.readable += result.readable
        self.cached += result.cached
        self.cache_problem = self.cache_problem or result.cache_problem
