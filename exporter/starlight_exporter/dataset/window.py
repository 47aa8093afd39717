"""Select the files of an unlabelled dataset that are evaluated: a sliding window of the newest files."""

from __future__ import annotations

import heapq
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from starlight_exporter.dataset.found_files import FoundFile


@dataclass(frozen=True, slots=True)
class Window:
    """The newest `images` files, or the files of the last `seconds`, by modification time; exactly one is set.

    A modification time can be set to any value. One that is later than the last change of the file's entry counts as
    the time of that change, so that files dated in the future do not keep new files out of the window. The times are
    compared with the system clock: if the clock is set back, files of the future are in the window.
    """

    images: int | None = None
    seconds: float | None = None


def inside(
    found: Sequence[FoundFile], window: Window | None, modified_ns: Callable[[FoundFile], int | None]
) -> list[FoundFile]:
    """Return the files in the window; all of them without a window. `modified_ns` returns the time of a file.

    Entries with a problem, and files whose time cannot be read, are always in the window, so that they are reported.
    """
    if window is None:
        return list(found)
    dated, undated = [], []
    for file in found:
        modified = None if file.problem is not None else modified_ns(file)
        if modified is None:
            undated.append(file)
        else:
            dated.append((modified, file.path, file))
    if window.images is not None:
        kept = heapq.nlargest(window.images, dated, key=lambda one: one[:2])
    else:
        oldest = (time.time() - (window.seconds or 0.0)) * 1e9
        kept = [one for one in dated if one[0] >= oldest]
    return [*undated, *(file for _, _, file in kept)]
