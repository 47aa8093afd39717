"""Ablation modes: the values that replace an ablated stream."""

from __future__ import annotations

from typing import Final, Literal, get_args

AblationMode = Literal["zero", "mean", "shuffle"]
ABLATION_MODES: Final[tuple[AblationMode, ...]] = get_args(AblationMode)
