"""Records of a model: next to its file, or next to a model with the same content."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from starlight_exporter.dataset.layout import scan
from starlight_exporter.evaluation.run import evaluate
from starlight_exporter.models.cards import Origin, model_in
from starlight_exporter.models.records import RecordFiles, find_records, read_records
from starlight_exporter.models.training_files import manifest_text
from support.images import write_dataset
from support.models import write_random_model
from support.run_requests import run_request

LOG = '{"epoch": 1, "train_loss": 0.5, "validation_loss": 0.6}\n'
NOTHING = RecordFiles(None, None, None)


def add(models: Path, name: str, content: bytes, *, card: str | None = "title: an experiment\n") -> Path:
    """Create a model folder with every record; return the model file."""
    folder = models / name
    folder.mkdir(parents=True)
    (folder / "model.onnx").write_bytes(content)
    (folder / "training_log.jsonl").write_text(LOG)
    (folder / "training_files.sha256").write_text("")
    if card is not None:
        (folder / "card.yml").write_text(card)
    return folder / "model.onnx"


def deploy(models: Path, content: bytes) -> Path:
    file = models / "production" / "model.onnx"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)
    return file


def found_for(model: Path, models: Path | None) -> RecordFiles:
    return find_records(model, digest(model.read_bytes()), training_log=None, models_dir=models)


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def test_finds_records_of_a_model_with_the_same_content(tmp_path: Path) -> None:
    add(tmp_path, "v3", b"older", card="title: six streams\n")
    add(tmp_path, "v4", b"newer", card=f"title: eight streams\nsha256: {digest(b'newer')}\n")
    for content, folder, title in ((b"newer", "v4", "eight streams"), (b"older", "v3", "six streams")):
        found = found_for(deploy(tmp_path, content), tmp_path)
        assert found == RecordFiles(
            training_log=tmp_path / folder / "training_log.jsonl",
            manifest=tmp_path / folder / "training_files.sha256",
            origin=Origin(folder, title, own_card=False),
        )
    assert found_for(deploy(tmp_path, b"other"), tmp_path) == NOTHING


def test_searches_only_the_given_folder_of_models(tmp_path: Path) -> None:
    add(tmp_path / "models", "v4", b"newer")
    assert found_for(deploy(tmp_path / "models", b"newer"), None) == NOTHING
    assert found_for(deploy(tmp_path / "models", b"newer"), tmp_path / "nowhere") == NOTHING


@pytest.mark.parametrize("card", [None, "a: [", "file: ../v4/model.onnx\n", f"sha256: '{'0' * 64}'\n"])
def test_ignores_folders_without_a_valid_card(tmp_path: Path, card: str | None) -> None:
    add(tmp_path, "v4", b"newer", card=card)
    assert found_for(deploy(tmp_path, b"newer"), tmp_path) == NOTHING


def test_ignores_files_that_the_card_does_not_name(tmp_path: Path) -> None:
    folder = add(tmp_path, "v4", b"newer", card="file: weights.onnx\n").parent
    assert found_for(deploy(tmp_path, b"newer"), tmp_path) == NOTHING
    (folder / "weights.onnx").write_bytes(b"newer")
    assert found_for(deploy(tmp_path, b"newer"), tmp_path).origin == Origin("v4", "", own_card=False)


def test_records_next_to_the_model_take_precedence(tmp_path: Path) -> None:
    add(tmp_path, "v4", b"newer")
    own = add(tmp_path, "production", b"newer", card="title: deployed\n")
    assert found_for(own, tmp_path) == RecordFiles(
        own.with_name("training_log.jsonl"),
        own.with_name("training_files.sha256"),
        Origin("production", "deployed", own_card=True),
    )
    own.with_name("training_files.sha256").unlink()
    assert found_for(own, tmp_path).manifest == tmp_path / "v4" / "training_files.sha256"
    assert found_for(own, tmp_path).training_log == own.with_name("training_log.jsonl")
    configured = find_records(own, digest(b"newer"), training_log=tmp_path / "given.jsonl", models_dir=tmp_path)
    assert configured.training_log == tmp_path / "given.jsonl"


def test_ignores_records_next_to_a_replaced_model(tmp_path: Path) -> None:
    own = add(tmp_path, "v4", b"retrained in place", card=f"title: eight streams\nsha256: {digest(b'newer')}\n")
    found = found_for(own, tmp_path)
    assert (found.training_log, found.manifest, found.origin) == (None, None, None)
    (problem,) = found.problems
    for part in (str(own.with_name("card.yml")), digest(b"newer")[:12], digest(b"retrained in place")[:12]):
        assert part in problem
    # Records of the current file are still found in another folder or given explicitly.
    add(tmp_path, "v5", b"retrained in place")
    found = found_for(own, tmp_path)
    assert found.training_log == tmp_path / "v5" / "training_log.jsonl"
    assert found.manifest == tmp_path / "v5" / "training_files.sha256"
    assert found.origin == Origin("v5", "an experiment", own_card=False)
    given = tmp_path / "given.jsonl"
    assert find_records(own, digest(own.read_bytes()), training_log=given, models_dir=None).training_log == given


@pytest.mark.parametrize("card", ["sha256:\n", f"sha256: '{'0' * 64}'\nfile: weights.onnx\n"])
def test_uses_records_if_the_card_states_no_hash_of_the_file(tmp_path: Path, card: str) -> None:
    own = add(tmp_path, "v4", b"newer", card=card)
    found = found_for(own, None)
    assert found.training_log == own.with_name("training_log.jsonl")
    assert found.manifest == own.with_name("training_files.sha256")
    assert not found.problems


def share_manifest(models: Path, name: str, content: bytes, *, value: str = "../training_files.sha256") -> Path:
    """Create a model folder without a manifest, whose card names one; return the model file."""
    model = add(models, name, content, card=f"title: an experiment\ntraining_files: {value}\n")
    model.with_name("training_files.sha256").unlink()
    return model


def test_path_of_the_model_may_contain_the_parent_folder(tmp_path: Path) -> None:
    model = share_manifest(tmp_path / "models", "v4", b"model")
    (tmp_path / "elsewhere").mkdir()
    found = found_for(tmp_path / "elsewhere" / ".." / model.relative_to(tmp_path), None)
    assert (found.problems, found.manifest) == ((), tmp_path / "models" / "training_files.sha256")


def test_finds_manifest_that_the_card_names(tmp_path: Path) -> None:
    shared = tmp_path / "training_files.sha256"
    shared.write_text("0123456789abcdef\n")
    for name in ("v3", "v4"):
        model = share_manifest(tmp_path, name, name.encode())
        assert found_for(model, None).manifest == shared
        assert found_for(deploy(tmp_path, name.encode()), tmp_path).manifest == shared
    own = model.with_name("training_files.sha256")
    own.write_text("")
    assert found_for(model, None).manifest == own
    assert found_for(deploy(tmp_path, b"v4"), tmp_path).manifest == own


def test_ignores_shared_manifest_of_a_replaced_model(tmp_path: Path) -> None:
    (tmp_path / "training_files.sha256").write_text("0123456789abcdef\n")
    model = share_manifest(tmp_path, "v4", b"newer")
    model.with_name("card.yml").write_text(f"sha256: '{'0' * 64}'\ntraining_files: ../training_files.sha256\n")
    assert found_for(model, None).manifest is None


@pytest.mark.parametrize("deployed", [False, True])
def test_reports_missing_shared_manifest(tmp_path: Path, deployed: bool) -> None:
    model = share_manifest(tmp_path, "v4", b"newer")
    if deployed:
        model = deploy(tmp_path, b"newer")
    records = read_records(model, digest(b"newer"), training_log=None, models_dir=tmp_path)
    assert records.manifest is None
    assert records.training is not None
    assert records.problems == (f"{tmp_path / 'training_files.sha256'}: cannot be read: No such file or directory",)


def test_uses_manifest_of_the_same_content_if_the_named_one_is_missing(tmp_path: Path) -> None:
    add(tmp_path / "models", "v4", b"newer")
    model = share_manifest(tmp_path / "deployed", "v4", b"newer")
    manifest = tmp_path / "models" / "v4" / "training_files.sha256"
    assert found_for(model, tmp_path / "models").manifest == manifest


def test_reports_unreadable_shared_manifest(tmp_path: Path) -> None:
    shared = tmp_path / "training_files.sha256"
    model = share_manifest(tmp_path, "v4", b"newer")
    shared.mkdir()
    (problem,) = read_records(model, digest(b"newer"), training_log=None, models_dir=None).problems
    assert problem == f"{shared}: cannot be read: is a directory, not a regular file"
    shared.rmdir()
    shared.write_text("not a hash\n")
    (problem,) = read_records(model, digest(b"newer"), training_log=None, models_dir=None).problems
    assert problem == f"{shared}:1: expected 16 hexadecimal digits"


@pytest.mark.parametrize("value", ["../../outside.sha256", "/etc/hostname", "''", "3", "[a]"])
def test_rejects_manifest_outside_the_folder_of_models(
    tmp_path: Path, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = share_manifest(tmp_path / "models", "v4", b"newer", value=value)
    expected = "v4/card.yml: training_files: expected a relative path inside "
    found = found_for(model, None)
    assert found.manifest is None
    (problem,) = found.problems
    assert expected in problem
    monkeypatch.chdir(tmp_path / "models")
    assert expected in (model_in(Path("v4")).problem or "")


def test_reports_invalid_card_next_to_the_model(tmp_path: Path) -> None:
    own = add(tmp_path, "v4", b"newer", card="a: [")
    (problem,) = found_for(own, None).problems
    assert str(own.with_name("card.yml")) in problem


def test_relative_path_is_the_same_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = add(tmp_path, "v4", b"newer")
    monkeypatch.chdir(own.parent)
    assert found_for(Path("model.onnx"), tmp_path).origin == Origin("v4", "an experiment", own_card=True)


def test_symlink_to_a_model_is_a_copy(tmp_path: Path) -> None:
    original = add(tmp_path, "v4", b"newer")
    (tmp_path / "production").mkdir()
    link = tmp_path / "production" / "model.onnx"
    link.symlink_to(original)
    assert found_for(link, tmp_path).origin == Origin("v4", "an experiment", own_card=False)


@pytest.mark.slow
def test_evaluation_uses_the_records_of_a_model_with_the_same_content(tmp_path: Path) -> None:
    images, models = write_dataset(tmp_path / "images", clean=6, stego=5, negatives=0), tmp_path / "models"
    file = write_random_model(tmp_path / "random.onnx")
    original = add(models, "v4", file.read_bytes())
    original.with_name("training_files.sha256").write_text(manifest_text(scan("images", images).files[:4]))
    deployed = deploy(models, file.read_bytes())
    evaluation = evaluate(run_request(deployed, images, role="production", models_dir=models)).evaluation
    assert evaluation.training is not None
    assert evaluation.training.generalization_gap == pytest.approx(0.1)
    assert evaluation.leaked_images == 4
    assert evaluation.origin == Origin("v4", "an experiment", own_card=False)
