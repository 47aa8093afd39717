"""Watcher: which changes are reported and when, with real files and a simulated clock."""

from __future__ import annotations

import os
import threading
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest

from starlight_exporter.dataset.ignored import LABEL_FILES
from starlight_exporter.runs.watcher import Watcher, file_signature, tree_signature
from support.unreadable_folder import make_unreadable_folder
from support.waiting import wait_until

SETTLE = 3.0
KEY = "model production"


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Scene:
    """A watcher, its clock and its reports."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.watcher = Watcher(settle=SETTLE, clock=self.clock)

    def after(self, seconds: float) -> list[str]:
        """Return the changes that a poll after this number of seconds reports."""
        self.clock.now += seconds
        return self.watcher.poll()


@pytest.fixture
def scene() -> Scene:
    return Scene()


@pytest.fixture
def model(tmp_path: Path, scene: Scene) -> Path:
    file = tmp_path / "model.onnx"
    file.write_bytes(b"first")
    scene.watcher.watch_file(KEY, file)
    return file


def replace_by_rename(file: Path) -> None:
    new = file.with_name("new")
    new.write_bytes(b"other")
    new.replace(file)


def write_in_place(file: Path) -> None:
    file.write_bytes(b"other")


def replace_by_symlink(file: Path) -> None:
    target = file.with_name("target")
    target.write_bytes(b"other")
    link = file.with_name("link")
    link.symlink_to(target)
    link.replace(file)


def write_with_old_mtime(file: Path) -> None:
    before = file.stat()
    file.write_bytes(b"FIRST")
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))


def remove(file: Path) -> None:
    file.unlink()


def replace_by_directory(file: Path) -> None:
    file.unlink()
    file.mkdir()


CHANGES: list[Callable[[Path], None]] = [
    replace_by_rename,
    write_in_place,
    replace_by_symlink,
    write_with_old_mtime,
    remove,
    replace_by_directory,
]


def test_unchanged_file_is_not_reported(scene: Scene, model: Path) -> None:
    assert model.exists()
    assert [scene.after(10) for _ in range(5)] == [[]] * 5


@pytest.mark.parametrize("change", CHANGES)
def test_change_is_reported_once_after_it_has_settled(
    scene: Scene, model: Path, change: Callable[[Path], None]
) -> None:
    change(model)
    assert scene.after(2) == []
    assert scene.watcher.is_unsettled(KEY)
    assert scene.after(2.9) == []
    assert scene.after(0.2) == [KEY]
    assert not scene.watcher.is_unsettled(KEY)
    assert scene.after(100) == []


def test_follows_symlinks(scene: Scene, tmp_path: Path) -> None:
    (tmp_path / "v1").write_bytes(b"1")
    (tmp_path / "current").symlink_to("v1")
    scene.watcher.watch_file(KEY, tmp_path / "current")
    (tmp_path / "v1").write_bytes(b"changed where it is")
    assert scene.after(1) == []
    assert scene.after(4) == [KEY]


def test_file_that_is_being_written_is_not_reported(scene: Scene, model: Path) -> None:
    with model.open("wb", buffering=0) as file:
        for _ in range(5):
            file.write(b"part")
            assert scene.after(2) == []
    assert scene.after(2.5) == []
    assert scene.after(1) == [KEY]


def test_removal_and_return_are_both_reported(scene: Scene, model: Path) -> None:
    content = model.read_bytes()
    model.unlink()
    assert [scene.after(2), scene.after(4)] == [[], [KEY]]
    model.write_bytes(content)
    assert [scene.after(2), scene.after(4)] == [[], [KEY]]


def test_short_removal_is_reported_once(scene: Scene, model: Path) -> None:
    model.unlink()
    assert scene.after(1) == []
    model.write_bytes(b"other")
    assert scene.after(1) == []
    assert scene.after(4) == [KEY]


def test_reports_a_file_that_is_created_later(scene: Scene, tmp_path: Path) -> None:
    scene.watcher.watch_file("baseline", tmp_path / "later" / "baseline.json")
    assert scene.after(10) == []
    (tmp_path / "later").mkdir()
    (tmp_path / "later" / "baseline.json").touch()
    assert [scene.after(1), scene.after(4)] == [[], ["baseline"]]


def test_is_unsettled_checks_the_file_now(scene: Scene, model: Path) -> None:
    assert not scene.watcher.is_unsettled(KEY)
    write_in_place(model)
    assert scene.watcher.is_unsettled(KEY)
    assert scene.after(3.1) == [KEY]
    assert not scene.watcher.is_unsettled("another key")


def test_watching_again_keeps_an_unsettled_change(scene: Scene, model: Path) -> None:
    write_in_place(model)
    assert scene.after(1) == []
    scene.watcher.watch_file(KEY, model)
    assert scene.after(4) == [KEY]


def test_watching_again_keeps_a_change_that_was_not_polled(scene: Scene, model: Path) -> None:
    write_in_place(model)
    scene.watcher.watch_file(KEY, model)
    assert [scene.after(1), scene.after(4)] == [[], [KEY]]


def test_another_path_replaces_the_watched_one(scene: Scene, model: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.onnx"
    other.write_bytes(b"other")
    scene.watcher.watch_file(KEY, other)
    write_in_place(model)
    assert [scene.after(1), scene.after(4)] == [[], []]
    write_in_place(other)
    assert [scene.after(1), scene.after(4)] == [[], [KEY]]


def test_keep_only_stops_watching_other_keys(scene: Scene, model: Path, tmp_path: Path) -> None:
    scene.watcher.watch_tree("dataset", tmp_path)
    scene.watcher.keep_only({"dataset"})
    write_in_place(model)
    assert [scene.after(1), scene.after(4)] == [[], ["dataset"]]


# Trees


def add(root: Path) -> None:
    (root / "clean" / "new.png").touch()


def remove_inside(root: Path) -> None:
    (root / "stego" / "lsb" / "b.png").unlink()


def change_inside(root: Path) -> None:
    (root / "stego" / "lsb" / "b.png").write_bytes(b"other")


def rename_inside(root: Path) -> None:
    (root / "clean" / "a.png").rename(root / "clean" / "c.png")


def swap(root: Path) -> None:
    a, b, aside = root / "clean" / "a.png", root / "stego" / "lsb" / "b.png", root / "aside"
    a.rename(aside)
    b.rename(a)
    aside.rename(b)


def change_behind_folder_link(root: Path) -> None:
    (root / ".elsewhere" / "n.png").write_bytes(b"other")


def replace_folder(root: Path) -> None:
    root.rename(root.with_name("old"))
    (root / "clean").mkdir(parents=True)


def add_manifest(root: Path) -> None:
    (root / "labels.csv").write_text("path,class\n")


TREE_CHANGES: list[Callable[[Path], None]] = [
    add,
    remove_inside,
    change_inside,
    rename_inside,
    swap,
    change_behind_folder_link,
    replace_folder,
    add_manifest,
]


@pytest.fixture
def images(tmp_path: Path) -> Path:
    root = tmp_path / "images"
    for file in ("clean/a.png", "stego/lsb/b.png", ".elsewhere/n.png"):
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        (root / file).write_bytes(file.encode())
    (root / "negatives").symlink_to(root / ".elsewhere")
    # The scan must not follow cyclic links.
    (root / ".elsewhere" / "up").symlink_to(root)
    (root / "clean" / "dangling.png").symlink_to("nowhere")
    (root / "clean" / "itself.png").symlink_to("itself.png")
    return root


@pytest.mark.parametrize("change", TREE_CHANGES)
def test_reports_every_change_below_a_folder(scene: Scene, images: Path, change: Callable[[Path], None]) -> None:
    scene.watcher.watch_tree("dataset reference", images)
    assert scene.after(10) == []
    change(images)
    assert [scene.after(10), scene.after(4)] == [[], ["dataset reference"]]


@pytest.mark.parametrize("name", LABEL_FILES)
def test_signature_changes_with_a_file_of_labels_in_the_root_only(images: Path, name: str) -> None:
    before = tree_signature(images)
    (images / "clean" / name).touch()
    folder = tree_signature(images)
    (images / name).touch()
    assert before == folder != tree_signature(images)


def test_signature_does_not_depend_on_directory_order(images: Path) -> None:
    assert tree_signature(images) == tree_signature(images)
    assert tree_signature(images / "clean") != tree_signature(images / "stego")


def test_unreadable_path_has_no_signature(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "loop").symlink_to("loop")
    for path in (tmp_path / "nowhere", tmp_path / "file" / "below", tmp_path / "loop", tmp_path / ("n" * 300)):
        assert file_signature(path) is None
        assert tree_signature(path) is None
    assert tree_signature(tmp_path / "file") is None


@pytest.mark.skipif("os.geteuid() == 0", reason="root may read everything")
def test_folder_without_permission_is_reported(scene: Scene, tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    (closed / "images").mkdir(parents=True)
    scene.watcher.watch_tree("dataset reference", closed / "images")
    closed.chmod(0)
    try:
        assert [scene.after(10), scene.after(4)] == [[], ["dataset reference"]]
    finally:
        closed.chmod(0o700)


def test_slow_check_is_repeated_less_often(tmp_path: Path) -> None:
    clock = Clock()
    checks: list[float] = []

    class SlowPath(type(tmp_path)):  # type: ignore[misc]
        def stat(self, *, follow_symlinks: bool = True) -> os.stat_result:
            checks.append(clock.now)
            clock.now += 0.5
            status: os.stat_result = super().stat(follow_symlinks=follow_symlinks)
            return status

    watcher = Watcher(settle=SETTLE, clock=clock)
    watcher.watch_file(KEY, SlowPath(tmp_path / "file"))
    for _ in range(100):
        clock.now += 1
        watcher.poll()
    assert len(checks) == pytest.approx(100 / 10.5, abs=2)


def test_watches_cards_but_not_the_files_next_to_them(tmp_path: Path, scene: Scene) -> None:
    (tmp_path / "v1").mkdir()
    (tmp_path / "v1" / "card.yml").write_text("title: first\n")
    scene.watcher.watch_models("research", tmp_path)
    (tmp_path / "v1" / "training_log.jsonl").write_text("{}\n")
    (tmp_path / "v2").mkdir()
    assert scene.after(1.0) == scene.after(SETTLE) == []
    (tmp_path / "v2" / "card.yml").write_text("title: second\n")
    assert scene.after(1.0) == []
    assert scene.after(SETTLE) == ["research"]
    (tmp_path / "v1" / "card.yml").unlink()
    assert [*scene.after(1.0), *scene.after(SETTLE)] == ["research"]


def test_unreadable_folder_does_not_hide_others(tmp_path: Path, scene: Scene) -> None:
    root, _ = make_unreadable_folder(tmp_path)
    scene.watcher.watch_models("research", root)
    assert [*scene.after(1.0), *scene.after(SETTLE)] == []
    (root / "try").mkdir()
    (root / "try" / "model.onnx").write_bytes(b"anything")
    assert [*scene.after(1.0), *scene.after(SETTLE)] == ["research"]


def test_watches_models_without_a_card_but_not_their_content(tmp_path: Path, scene: Scene) -> None:
    scene.watcher.watch_models("research", tmp_path)
    (tmp_path / "try").mkdir()
    assert [*scene.after(1.0), *scene.after(SETTLE)] == []
    (tmp_path / "try" / "model.onnx").write_bytes(b"half")
    assert [*scene.after(1.0), *scene.after(SETTLE)] == ["research"]
    (tmp_path / "try" / "model.onnx").write_bytes(b"half and half")
    assert [*scene.after(1.0), *scene.after(SETTLE)] == []
    (tmp_path / "try" / "model.onnx").unlink()
    assert [*scene.after(1.0), *scene.after(SETTLE)] == ["research"]


def test_new_file_is_reported_once_it_has_settled(tmp_path: Path, scene: Scene) -> None:
    file = tmp_path / "model.onnx"
    file.write_bytes(b"half")
    scene.watcher.watch_new_file("arrived", file)
    assert scene.watcher.is_unsettled("arrived")
    assert scene.after(SETTLE - 1.0) == []
    file.write_bytes(b"half and half")
    assert scene.after(SETTLE - 1.0) == []
    assert scene.after(SETTLE) == ["arrived"]
    assert not scene.watcher.is_unsettled("arrived")


def test_file_that_never_settles_is_reported_in_the_end(scene: Scene, model: Path) -> None:
    reported = []
    for second in range(63):
        model.write_bytes(bytes(second))
        reported += scene.after(1.0)
    assert reported == [KEY, KEY]


def test_evaluation_does_not_wait_for_a_file_that_never_settles(scene: Scene, model: Path) -> None:
    for second in range(29):
        model.write_bytes(bytes(second))
        scene.clock.now += 1.0
        assert scene.watcher.is_unsettled(KEY)
    model.write_bytes(bytes(30))
    scene.clock.now += 2.0
    assert not scene.watcher.is_unsettled(KEY)


def test_slow_check_delays_no_other_thread(tmp_path: Path) -> None:
    """No lock is held while the file system is read."""
    entered, leave = threading.Event(), threading.Event()

    class HangingPath(type(tmp_path)):  # type: ignore[misc]
        def stat(self, *, follow_symlinks: bool = True) -> os.stat_result:
            if threading.current_thread().name == "watch":
                entered.set()
                leave.wait(60.0)
            status: os.stat_result = super().stat(follow_symlinks=follow_symlinks)
            return status

    watcher = Watcher(settle=0.1)
    watcher.watch_file("slow", HangingPath(tmp_path / "slow"))
    watcher.watch_file("other", tmp_path / "other")
    thread = threading.Thread(target=watcher.poll, name="watch")
    thread.start()
    try:
        assert entered.wait(60.0)
        (tmp_path / "other").touch()
        assert watcher.is_unsettled("other")
        wait_until(lambda: watcher.poll() == ["other"])
    finally:
        leave.set()
        thread.join(60.0)


@pytest.mark.timeout(60)
def test_links_that_multiply_and_deep_folders_are_limited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("starlight_exporter.runs.watcher.MAX_LINKED_FOLDERS", 50)
    # Each folder links twice to the next one: 2^40 paths to the last.
    for level in range(40):
        (tmp_path / str(level)).mkdir()
        for name in ("x", "y"):
            (tmp_path / str(level) / name).symlink_to(tmp_path / str(level + 1))
    deep = tmp_path / "40" / "/".join("d" * 100)
    deep.mkdir(parents=True)
    before = tree_signature(tmp_path / "0")
    (deep / "beyond.png").touch()
    assert tree_signature(tmp_path / "0") == before


def test_datasets_are_checked_separately(tmp_path: Path, scene: Scene, model: Path) -> None:
    images = tmp_path / "images"
    images.mkdir()
    scene.watcher.watch_tree("dataset", images)
    (images / "a.png").touch()
    replace_by_rename(model)
    for seconds in (0.0, SETTLE):
        scene.clock.now += seconds
        model_changes, dataset_changes = scene.watcher.poll(trees=False), scene.watcher.poll(trees=True)
    assert (model_changes, dataset_changes) == ([KEY], ["dataset"])


def test_link_out_of_the_dataset_is_not_followed(tmp_path: Path) -> None:
    root, outside = tmp_path / "images", tmp_path / "outside"
    for folder in (root / "clean", outside):
        folder.mkdir(parents=True)
    before = tree_signature(root)
    (root / "clean" / "link").symlink_to(outside)
    with_link = tree_signature(root)
    (outside / "new.png").touch()
    assert before != with_link == tree_signature(root)
    (outside / "new.png").rename(root / "new.png")
    (root / "clean" / "inside").symlink_to(root / "stego")
    (root / "stego").mkdir()
    linked = tree_signature(root)
    (root / "stego" / "new.png").touch()
    assert linked != tree_signature(root)


def test_memory_of_a_watched_folder_does_not_depend_on_its_files(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    folder = tmp_path / "images" / "clean"
    folder.mkdir(parents=True)
    for number in range(3000):
        os.link(file, folder / f"{number:05}.png")
    tree_signature(tmp_path / "images")
    tracemalloc.start()
    try:
        assert tree_signature(tmp_path / "images") is not None
        assert tracemalloc.get_traced_memory()[1] < 3000 * 50
    finally:
        tracemalloc.stop()
