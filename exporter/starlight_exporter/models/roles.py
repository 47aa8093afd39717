"""Roles of configured models."""

from __future__ import annotations

from typing import Final, Literal, get_args

Role = Literal["production", "baseline", "research"]
ROLES: Final[tuple[Role, ...]] = get_args(Role)
