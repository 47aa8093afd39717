"""A mounted ConfigMap."""

from __future__ import annotations

import shutil
from pathlib import Path


class MountedConfigMap:
    """A folder as the kubelet writes it: `starlight.yml` → `..data` → a folder per version; `..data` is replaced."""

    def __init__(self, folder: Path, text: str) -> None:
        """Create the folder with the first version of `starlight.yml`."""
        self.folder = folder
        self._version = 0
        folder.mkdir()
        self.update(text)
        self.file.symlink_to(Path("..data", self.file.name))

    @property
    def file(self) -> Path:
        """The path of the configuration."""
        return self.folder / "starlight.yml"

    def update(self, text: str) -> None:
        """Replace the content, and delete the version before."""
        before = (self.folder / "..data").resolve()
        self._version += 1
        new = self.folder / f"..version_{self._version}"
        new.mkdir()
        (new / self.file.name).write_text(text)
        (self.folder / "..data_tmp").symlink_to(new.name)
        (self.folder / "..data_tmp").replace(self.folder / "..data")
        if self._version > 1:
            shutil.rmtree(before)
