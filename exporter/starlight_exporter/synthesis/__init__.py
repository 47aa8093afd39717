"""Makes labelled datasets: covers, payloads, the five embeddings, negatives; byte-identical for the same seed."""

from starlight_exporter.synthesis.build import GENERATOR_VERSION, synthesise

__all__ = ["GENERATOR_VERSION", "synthesise"]
