"""The machine of a measurement: latencies of different machines are not comparable."""

from __future__ import annotations

import platform
from dataclasses import dataclass

from starlight_exporter.detector.providers import onnxruntime_version
from starlight_exporter.evaluation.request import available_cores
from starlight_exporter.evaluation.spec import EXECUTION_PROVIDER
from starlight_exporter.processor import processor


@dataclass(frozen=True, slots=True)
class Machine:
    """Hardware and runtime of a latency measurement. `cores` is the number of cores that the process may use."""

    processor: str
    cores: int
    execution_provider: str
    onnxruntime_version: str
    system: str
    python: str

    def describe(self) -> str:
        """Return processor, cores, operating system and Python version as one line."""
        return f"{self.processor}, {self.cores} cores, {self.system}, Python {self.python}"

    def differences(self, other: Machine) -> str:
        """Return what makes latencies incomparable, with both values; empty if nothing does.

        Compares processor, cores, execution provider and runtime version. Operating system and Python version are for
        information only.
        """
        pairs = (
            ("processors", self.processor, other.processor),
            ("numbers of cores", self.cores, other.cores),
            ("execution providers", self.execution_provider, other.execution_provider),
            ("onnxruntime versions", self.onnxruntime_version, other.onnxruntime_version),
        )
        return ", ".join(f"different {name} ({one}; {two})" for name, one, two in pairs if one != two)


def current_machine(execution_provider: str = EXECUTION_PROVIDER) -> Machine:
    """Return the machine of this process, with the installed onnxruntime and the execution provider of a model."""
    return Machine(
        processor=processor(),
        cores=available_cores(),
        execution_provider=execution_provider,
        onnxruntime_version=onnxruntime_version(),
        system=platform.system(),
        python=platform.python_version(),
    )
