"""Generator of labelled datasets: covers, payloads, five embedding methods, hard negatives. Deterministic by seed."""

from starlight_exporter.synthesis.build import GENERATOR_VERSION, synthesise

__all__ = ["GENERATOR_VERSION", "synthesise"]
