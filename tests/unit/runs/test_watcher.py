"""Which changes of files are noticed, and when: with a clock of the test's own and real files."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from starlight_exporter.runs.watcher import Watcher, file_signature, tree_signature
from support.unreadable_folder import make_unreadable_folder

SETTLE = 3.0
KEY = "model production"


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Scene:
    """A watcher, its clock, and what it has reported."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.reported: list[str] = []
        self.watcher = Watcher(settle=SETTLE, changed=self.reported.append, clock=self.clock)

    def after(self, seconds: float) -> list[str]:
        """What a look after so much time reports."""
        self.clock.now += seconds
        self.reported.clear()
        self.watcher.poll()
        return list(self.reported)


@pytest.fixture
def scene() -> Scene:
    return Scene()


@pytest.fixture
def model(tmp_path: Path, scene: Scene) -> Path:
    file = tmp_path / "model.onnx"
    file.write_bytes(b"first")
    scene.watcher.watch_file(KEY, file)
    return file


def by_rename(file: Path) -> None:
    new = file.with_name("new")
    new.write_bytes(b"other")
    new.replace(file)


def in_place(file: Path) -> None:
    file.write_bytes(b"other")


def by_symlink(file: Path) -> None:
    target = file.with_name("target")
    target.write_bytes(b"other")
    link = file.with_name("link")
    link.symlink_to(target)
    link.replace(file)


def with_the_old_times(file: Path) -> None:
    before = file.stat()
    file.write_bytes(b"FIRST")
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))


def removed(file: Path) -> None:
    file.unlink()


def a_directory_in_its_place(file: Path) -> None:
    file.unlink()
    file.mkdir()


CHANGES: list[Callable[[Path], None]] = [
    by_rename,
    in_place,
    by_symlink,
    with_the_old_times,
    removed,
    a_directory_in_its_place,
]


def test_nothing_changes_nothing_is_reported(scene: Scene, model: Path) -> None:
    assert model.exists()
    assert [scene.after(10) for _ in range(5)] == [[]] * 5


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_is_reported_once_and_after_it_has_settled(
    scene: Scene, model: Path, change: Callable[[Path], None]
) -> None:
    change(model)
    assert scene.after(2) == []
    assert scene.watcher.unsettled(KEY)
    assert scene.after(2.9) == []
    assert scene.after(0.2) == [KEY]
    assert not scene.watcher.unsettled(KEY)
    assert scene.after(100) == []


def test_the_target_of_a_symlink_is_watched(scene: Scene, tmp_path: Path) -> None:
    (tmp_path / "v1").write_bytes(b"1")
    (tmp_path / "current").symlink_to("v1")
    scene.watcher.watch_file(KEY, tmp_path / "current")
    (tmp_path / "v1").write_bytes(b"changed where it is")
    assert scene.after(1) == []
    assert scene.after(4) == [KEY]


def test_a_file_that_is_still_being_written_is_left_alone(scene: Scene, model: Path) -> None:
    with model.open("wb", buffering=0) as file:
        for _ in range(5):
            file.write(b"part")
            assert scene.after(2) == []
    assert scene.after(2.5) == []
    assert scene.after(1) == [KEY]


def test_a_file_that_vanishes_and_comes_back_is_reported_each_time(scene: Scene, model: Path) -> None:
    content = model.read_bytes()
    model.unlink()
    assert [scene.after(2), scene.after(4)] == [[], [KEY]]
    model.write_bytes(content)
    assert [scene.after(2), scene.after(4)] == [[], [KEY]]


def test_a_file_that_is_gone_only_for_a_moment_is_reported_once(scene: Scene, model: Path) -> None:
    model.unlink()
    assert scene.after(1) == []
    model.write_bytes(b"other")
    assert scene.after(1) == []
    assert scene.after(4) == [KEY]


def test_a_file_that_is_not_there_yet(scene: Scene, tmp_path: Path) -> None:
    scene.watcher.watch_file("baseline", tmp_path / "later" / "baseline.json")
    assert scene.after(10) == []
    (tmp_path / "later").mkdir()
    (tmp_path / "later" / "baseline.json").touch()
    assert [scene.after(1), scene.after(4)] == [[], ["baseline"]]


def test_the_question_whether_a_file_rests_looks_at_it_now(scene: Scene, model: Path) -> None:
    assert not scene.watcher.unsettled(KEY)
    in_place(model)
    assert scene.watcher.unsettled(KEY)
    assert scene.after(3.1) == [KEY]
    assert not scene.watcher.unsettled("somebody else")


def test_to_watch_again_does_not_forget_a_change_that_has_not_settled(scene: Scene, model: Path) -> None:
    in_place(model)
    assert scene.after(1) == []
    scene.watcher.watch_file(KEY, model)
    assert scene.after(4) == [KEY]


def test_to_watch_again_does_not_forget_a_change_that_nobody_looked_at(scene: Scene, model: Path) -> None:
    in_place(model)
    scene.watcher.watch_file(KEY, model)
    assert [scene.after(1), scene.after(4)] == [[], [KEY]]


def test_another_path_under_the_same_key_is_watched_from_now_on(scene: Scene, model: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.onnx"
    other.write_bytes(b"other")
    scene.watcher.watch_file(KEY, other)
    in_place(model)
    assert [scene.after(1), scene.after(4)] == [[], []]
    in_place(other)
    assert [scene.after(1), scene.after(4)] == [[], [KEY]]


def test_what_is_not_kept_is_forgotten(scene: Scene, model: Path, tmp_path: Path) -> None:
    scene.watcher.watch_tree("dataset", tmp_path)
    scene.watcher.keep_only({"dataset"})
    in_place(model)
    assert [scene.after(1), scene.after(4)] == [[], ["dataset"]]


def test_a_handler_that_fails_costs_this_report_alone(tmp_path: Path) -> None:
    clock, reported = Clock(), []

    def changed(key: str) -> None:
        reported.append(key)
        if key == "a":
            raise RuntimeError("a handler's bug")

    watcher = Watcher(settle=0.0, changed=changed, clock=clock)
    for key in ("a", "b"):
        watcher.watch_file(key, tmp_path / key)
        (tmp_path / key).touch()
    with pytest.raises(RuntimeError):
        watcher.poll()
    watcher.poll()
    assert reported == ["a", "b"]


# Trees


def added(root: Path) -> None:
    (root / "clean" / "new.png").touch()


def removed_from(root: Path) -> None:
    (root / "stego" / "lsb" / "b.png").unlink()


def changed_inside(root: Path) -> None:
    (root / "stego" / "lsb" / "b.png").write_bytes(b"other")


def renamed_inside(root: Path) -> None:
    (root / "clean" / "a.png").rename(root / "clean" / "c.png")


def swapped(root: Path) -> None:
    a, b, aside = root / "clean" / "a.png", root / "stego" / "lsb" / "b.png", root / "aside"
    a.rename(aside)
    b.rename(a)
    aside.rename(b)


def changed_behind_a_folder_link(root: Path) -> None:
    (root.parent / "elsewhere" / "n.png").write_bytes(b"other")


def replaced_as_a_whole(root: Path) -> None:
    root.rename(root.with_name("old"))
    (root / "clean").mkdir(parents=True)


TREE_CHANGES: list[Callable[[Path], None]] = [
    added,
    removed_from,
    changed_inside,
    renamed_inside,
    swapped,
    changed_behind_a_folder_link,
    replaced_as_a_whole,
]


@pytest.fixture
def images(tmp_path: Path) -> Path:
    root = tmp_path / "images"
    for file in ("clean/a.png", "stego/lsb/b.png", "../elsewhere/n.png"):
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        (root / file).write_bytes(file.encode())
    (root / "negatives").symlink_to(tmp_path / "elsewhere")
    # Scanners meet such links, and must not walk in circles.
    (tmp_path / "elsewhere" / "up").symlink_to(root)
    (root / "clean" / "dangling.png").symlink_to("nowhere")
    (root / "clean" / "itself.png").symlink_to("itself.png")
    return root


@pytest.mark.parametrize("change", TREE_CHANGES)
def test_every_change_below_a_folder_is_noticed(scene: Scene, images: Path, change: Callable[[Path], None]) -> None:
    scene.watcher.watch_tree("dataset reference", images)
    assert scene.after(10) == []
    change(images)
    assert [scene.after(10), scene.after(4)] == [[], ["dataset reference"]]


def test_the_order_on_disk_is_no_change(images: Path) -> None:
    assert tree_signature(images) == tree_signature(images)
    assert tree_signature(images / "clean") != tree_signature(images / "stego")


def test_what_cannot_be_looked_at_has_no_signature(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "loop").symlink_to("loop")
    for path in (tmp_path / "nowhere", tmp_path / "file" / "below", tmp_path / "loop", tmp_path / ("n" * 300)):
        assert file_signature(path) is None
        assert tree_signature(path) is None
    assert tree_signature(tmp_path / "file") is None


@pytest.mark.skipif("os.geteuid() == 0", reason="root may read everything")
def test_a_folder_without_permission_has_no_signature_and_ends_nothing(scene: Scene, tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    (closed / "images").mkdir(parents=True)
    scene.watcher.watch_tree("dataset reference", closed / "images")
    closed.chmod(0)
    try:
        assert [scene.after(10), scene.after(4)] == [[], ["dataset reference"]]
    finally:
        closed.chmod(0o700)


def test_a_look_that_takes_long_is_repeated_later(tmp_path: Path) -> None:
    clock = Clock()
    looks: list[float] = []
    reported: list[str] = []

    class SlowPath(type(tmp_path)):  # type: ignore[misc]
        def stat(self, *, follow_symlinks: bool = True) -> os.stat_result:
            looks.append(clock.now)
            clock.now += 0.5
            status: os.stat_result = super().stat(follow_symlinks=follow_symlinks)
            return status

    watcher = Watcher(settle=SETTLE, changed=reported.append, clock=clock)
    watcher.watch_file(KEY, SlowPath(tmp_path / "file"))
    for _ in range(100):
        clock.now += 1
        watcher.poll()
    assert len(looks) == pytest.approx(100 / 10.5, abs=2)


def test_cards_are_watched_and_what_lies_beside_them_is_not(tmp_path: Path, scene: Scene) -> None:
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


def test_a_folder_that_cannot_be_looked_into_hides_no_other(tmp_path: Path, scene: Scene) -> None:
    root, _ = make_unreadable_folder(tmp_path)
    scene.watcher.watch_models("research", root)
    assert [*scene.after(1.0), *scene.after(SETTLE)] == []
    (root / "try").mkdir()
    (root / "try" / "model.onnx").write_bytes(b"anything")
    assert [*scene.after(1.0), *scene.after(SETTLE)] == ["research"]


def test_a_report_that_meets_an_error_of_the_disk_keeps_no_other_back(tmp_path: Path) -> None:
    clock, reported = Clock(), []

    def changed(key: str) -> None:
        reported.append(key)
        (tmp_path / "nowhere" / key).touch()

    watcher = Watcher(settle=0.0, changed=changed, clock=clock)
    for key in ("a", "b"):
        watcher.watch_file(key, tmp_path / key)
        (tmp_path / key).touch()
    with capture_logs() as logs:
        watcher.poll()
        watcher.poll()
    assert reported == ["a", "b"]
    assert [log["key"] for log in logs] == ["a", "b"]


def test_a_model_without_a_card_is_noticed_and_its_content_is_not(tmp_path: Path, scene: Scene) -> None:
    scene.watcher.watch_models("research", tmp_path)
    (tmp_path / "try").mkdir()
    assert [*scene.after(1.0), *scene.after(SETTLE)] == []
    (tmp_path / "try" / "model.onnx").write_bytes(b"half")
    assert [*scene.after(1.0), *scene.after(SETTLE)] == ["research"]
    (tmp_path / "try" / "model.onnx").write_bytes(b"half and half")
    assert [*scene.after(1.0), *scene.after(SETTLE)] == []
    (tmp_path / "try" / "model.onnx").unlink()
    assert [*scene.after(1.0), *scene.after(SETTLE)] == ["research"]


def test_what_has_just_come_counts_once_it_has_rested(tmp_path: Path, scene: Scene) -> None:
    file = tmp_path / "model.onnx"
    file.write_bytes(b"half")
    scene.watcher.watch_arrival("arrived", file)
    assert scene.watcher.unsettled("arrived")
    assert scene.after(SETTLE - 1.0) == []
    file.write_bytes(b"half and half")
    assert scene.after(SETTLE - 1.0) == []
    assert scene.after(SETTLE) == ["arrived"]
    assert not scene.watcher.unsettled("arrived")


def test_what_a_report_ends_the_watch_of_is_not_reported(tmp_path: Path) -> None:
    clock = Clock()
    reported: list[str] = []

    def changed(key: str) -> None:
        reported.append(key)
        watcher.keep_only({key})

    watcher = Watcher(settle=SETTLE, changed=changed, clock=clock)
    for name in ("first", "second"):
        (tmp_path / name).write_bytes(b"old")
        watcher.watch_file(name, tmp_path / name)
        (tmp_path / name).write_bytes(b"changed")
    watcher.poll()
    clock.now += SETTLE
    watcher.poll()
    assert reported == ["first"]
