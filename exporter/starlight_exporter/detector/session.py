"""Sessions of ONNX Runtime: create them with the requested execution providers, and convert their errors."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import onnxruntime
from onnxruntime.capi import onnxruntime_pybind11_state

from starlight_exporter.detector.model_file import other_content
from starlight_exporter.detector.providers import CPU, Providers, describe_providers, provider_problem
from starlight_exporter.errors import ModelError

# onnxruntime's exceptions have no common base class. It also raises built-in ones for arguments and lack of memory.
RUNTIME_ERRORS: Final[tuple[type[Exception], ...]] = (
    *(
        value
        for value in vars(onnxruntime_pybind11_state).values()
        if isinstance(value, type) and issubclass(value, Exception)
    ),
    RuntimeError,
    ValueError,
    TypeError,
    MemoryError,
)
_FATAL_ONLY: Final = 4


def load_session(path: Path, data: bytes, providers: Providers) -> onnxruntime.InferenceSession:
    """Create the session of a model file. Raise ModelError, also if it does not have exactly the requested providers.

    A provider that is not installed, or that ONNX Runtime silently replaced by the CPU, is the reason `provider`.
    """
    available = onnxruntime.get_available_providers()
    for provider in providers:
        if provider.name not in available:
            text = f"{provider.name} is not in the installed ONNX Runtime, which has {', '.join(available)}"
            raise ModelError(f"{path}: {text}", reason="provider")
    try:
        session = open_session(data, providers)
    except RUNTIME_ERRORS as error:
        if is_allocation_failure(error):
            raise needs_memory(path, error) from error
        if providers != CPU and _loads_on_cpu(data):
            text = f"{path}: cannot be loaded with {describe_providers(providers)}: {one_line(error)}"
            raise ModelError(text, reason="provider") from error
        cause = other_content(data) or one_line(error)
        raise ModelError(f"{path}: not a loadable ONNX model: {cause}", reason="invalid") from error
    if problem := provider_problem(providers, session.get_providers()):
        raise ModelError(f"{path}: {problem}", reason="provider")
    return session


def open_session(model: bytes, providers: Providers = CPU) -> onnxruntime.InferenceSession:
    """Create a session for a serialised model: on the CPU single-threaded, without spinning or logging.

    The session may have fewer providers: ONNX Runtime does not raise an error if it cannot create one of them.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = _FATAL_ONLY
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = onnxruntime.InferenceSession(
        model,
        options,
        providers=[(provider.name, dict(provider.options)) for provider in providers],
        # Otherwise an error of a provider is printed, and the session is created again on the CPU.
        enable_fallback=0,
    )
    # The session keeps the serialised model for its whole life, but uses it only to change the execution provider.
    session._model_bytes = None
    return session


def _loads_on_cpu(data: bytes) -> bool:
    try:
        open_session(data)
    except RUNTIME_ERRORS:
        return False
    return True


def is_allocation_failure(error: Exception) -> bool:
    """Return whether an operator could not allocate memory, which onnxruntime reports as any other failure."""
    return isinstance(error, MemoryError) or any(
        text in str(error) for text in ("bad_alloc", "Failed to allocate memory")
    )


def needs_memory(path: Path, error: Exception) -> ModelError:
    text = f"{path}: needs more memory than this process may use: {one_line(error)}"
    return ModelError(text, reason="limits")


def one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:300] or type(error).__name__
