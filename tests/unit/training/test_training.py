"""The network and its training. Skipped without PyTorch."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import PIL
import pytest
from numpy.typing import NDArray
from PIL import Image

from starlight_exporter.detector import contract, features, streams
from starlight_exporter.detector.contract import BIT_ORDER_INPUT, INPUT_STREAMS, METHODS
from starlight_exporter.detector.decision import PRODUCTION
from starlight_exporter.detector.decoding import decode
from starlight_exporter.detector.model import Detector
from starlight_exporter.detector.streams import tensors
from starlight_exporter.errors import ModelError
from starlight_exporter.models.training_log import read_training_log
from starlight_exporter.synthesis.embeddings import embed_alpha, embed_lsb, embed_palette
from starlight_exporter.synthesis.exif import ExifFields, exif_bytes
from support.run_cache import RunCache

torch = pytest.importorskip("torch", reason="PyTorch is not installed (the train extra)")

from training import byte_classes, byte_reader, front_end, variants  # noqa: E402
from training.data import Examples, code_version, join, load_examples  # noqa: E402
from training.export import example_inputs, export, largest_difference  # noqa: E402
from training.fit import EpochRecord, Recipe, predict, train, validation_metrics, verdicts, write_log  # noqa: E402
from training.front_end import UNKNOWN_BIT, FrontEnd, IndexParity, MetadataFeatures  # noqa: E402
from training.network import ReferenceNetwork  # noqa: E402
from training.variants import VARIANTS, VariantName  # noqa: E402


def no_progress(_done: int, _total: int) -> None:
    pass


@pytest.fixture(scope="module")
def folder(run_cache: RunCache) -> Path:
    return run_cache.synthetic(seed=5, clean=24, stego=30, negatives=10)


@pytest.fixture(scope="module")
def examples(folder: Path) -> Examples:
    return load_examples(folder, workers=1, progress=no_progress)


def parity(image: Image.Image, file_format: str) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """Return the index LSBs that the network reads from an indexed image, and the stored indices."""
    out = io.BytesIO()
    image.save(out, file_format, **({"optimize": False} if file_format == "GIF" else {}))
    streams = tensors(decode(out.getvalue()), ("pixel", "palette"))
    pixels, palette = (torch.from_numpy(streams[name])[None] for name in ("pixel", "palette"))
    return IndexParity()(pixels.flatten(2), palette).reshape(256, 256).numpy(), np.asarray(image)


@pytest.mark.parametrize("file_format", ["GIF", "PNG", "BMP"])
def test_reads_index_parity_from_colours(file_format: str) -> None:
    rng = np.random.default_rng(2)
    indices = rng.integers(0, 200, (256, 256), dtype=np.uint8)
    # Steps of 8 avoid hash collisions, so that every pixel can be compared.
    colours = np.array([(8 * (i % 32), 8 * (i // 32), 64 + i % 7) for i in range(200)], dtype=np.uint8)
    image = Image.fromarray(indices)
    image.putpalette(colours.tobytes(), "RGB")
    bits, stored = parity(image, file_format)
    np.testing.assert_array_equal(bits, stored & 1)


def test_black_entry_differs_from_padding_after_short_palette() -> None:
    indices = np.tile(np.array([[0, 1], [2, 1]], dtype=np.uint8), (128, 128))
    image = Image.fromarray(indices)
    image.putpalette(bytes((200, 10, 10, 0, 0, 0, 10, 200, 10)), "RGB")
    bits, stored = parity(image, "PNG")
    np.testing.assert_array_equal(bits, stored & 1)


def test_parity_of_colour_at_even_and_odd_index_is_unknown() -> None:
    indices = np.tile(np.array([[0, 1], [2, 3]], dtype=np.uint8), (128, 128))
    image = Image.fromarray(indices)
    image.putpalette(bytes((9, 9, 9, 70, 0, 0, 9, 9, 9, 9, 9, 9)), "RGB")
    bits, stored = parity(image, "PNG")
    np.testing.assert_array_equal(bits, np.where(stored == 1, 1.0, UNKNOWN_BIT))


def test_parity_without_palette_is_unknown() -> None:
    assert (IndexParity()(torch.rand(2, 3, 500), torch.zeros(2, 768)) == UNKNOWN_BIT).all()


def front(data: bytes, name: VariantName = "v4") -> tuple[dict[str, Any], list[NDArray[np.float32]]]:
    """Return the front-end outputs of a file, and the bytes read in each plane."""
    variant = VARIANTS[name]
    streams = tensors(decode(data))
    given = {
        # PyTorch warns about read-only arrays, such as the streams that a file lacks, so copy them.
        n: torch.from_numpy(streams[INPUT_STREAMS[n]].copy())[None, : variant.input_shape(n)[0]]
        for n in variant.inputs
        if n != BIT_ORDER_INPUT
    }
    end = FrontEnd(variant)
    seen: list[tuple[Any, Any]] = []
    end.byte_statistics.register_forward_hook(lambda _module, arguments, _result: seen.append(arguments))
    ready = end(given)
    values, exists = seen[0]
    return ready, [values[0, plane][exists[0, plane] > 0].numpy() for plane in range(values.shape[1])]


TEXT = b"Once upon a midnight dreary, while I pondered, weak and weary, over many a quaint and curious volume. " * 6


@pytest.mark.parametrize(("width", "height"), [(256, 256), (64, 100), (203, 131), (301, 270), (255, 400), (517, 64)])
def test_reads_payload_bytes_at_any_image_size(width: int, height: int) -> None:
    rng = np.random.default_rng(width)
    rgb = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
    alpha = rng.integers(0, 256, (height, width), dtype=np.uint8)
    # Long enough to reach into the crop at every size.
    text = (TEXT * 60)[: width * height // 8 - 8]
    pixels = np.dstack([embed_lsb(rgb, text, "lsb-first"), embed_alpha(alpha, text)])
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    _, (colour, opacity, *_) = front(out.getvalue())
    for plane, message in ((colour, text), (opacity, b"AI42" + text)):
        # Bytes cut by the end of a row or by the crop are missing, so the bytes read are pieces of the text, in order.
        read = bytes(int(value) for value in plane[:20])
        pieces = [message[at : at + 4] for at in range(1000)]
        assert any(read[at : at + 4] in pieces for at in range(12)), read
        if width == height == 256:
            assert read == message[:20]


def test_reads_payload_in_palette_indices_in_both_bit_orders() -> None:
    rng = np.random.default_rng(4)
    colours = np.array([(8 * (i % 32), 8 * (i // 32), 64 + i % 7) for i in range(256)], dtype=np.uint8)
    lowest: list[NDArray[np.float32]] = []
    for order in ("lsb-first", "msb-first"):
        indices = rng.integers(0, 256, (256, 256), dtype=np.uint8)
        image = Image.fromarray(embed_palette(indices, TEXT, order))
        image.putpalette(colours.tobytes(), "RGB")
        out = io.BytesIO()
        image.save(out, "PNG")
        ready, planes = front(out.getvalue())
        read = bytes(int(value) for value in planes[3][:40])
        if order == "msb-first":
            read = bytes(int(f"{value:08b}"[::-1], 2) for value in read)
        assert read == TEXT[:40]
        lowest.append(ready["class_shares"][0, 3, 2].numpy())
    # The class shares are the same, for the other bit order.
    np.testing.assert_allclose(lowest[0][0], lowest[1][1], atol=0.2)
    assert lowest[0][0, 6] > 0.4


def test_front_end_output_is_independent_of_the_batch() -> None:
    variant = VARIANTS["v4"]
    inputs = dict(zip(variant.inputs, example_inputs(variant, 3), strict=True))
    together = FrontEnd(variant)(inputs)
    for i in range(3):
        single = FrontEnd(variant)({name: value[i : i + 1] for name, value in inputs.items()})
        for name, value in single.items():
            assert torch.equal(together[name][i : i + 1], value), name


def test_v3_and_v4_read_the_same_alpha_bits(folder: Path) -> None:
    for path in sorted((folder / "stego").glob("*_alpha_*.png")):
        older, newer = front(path.read_bytes(), "v3")[0], front(path.read_bytes())[0]
        assert torch.equal(older["class_shares"], newer["class_shares"][:, :2])


def test_finds_comment_tag_and_length_in_both_byte_orders() -> None:
    for little in (True, False):
        fields = ExifFields({}, {}, {}, little=little).with_user_comment(b"x" * 300)
        meta = np.zeros((1, 2048), np.float32)
        block = np.frombuffer(exif_bytes(fields), np.uint8)
        meta[0, : block.size] = block / np.float32(255)
        found, logarithm = MetadataFeatures()(torch.from_numpy(meta))[1][0].tolist()
        assert found == 1.0
        assert logarithm == pytest.approx(np.log1p(300) / 8)


def test_examples_equal_front_end_outputs(folder: Path, examples: Examples) -> None:
    assert examples.unreadable == 0
    assert int(examples.stego.sum()) == 30
    assert (np.bincount(examples.method[examples.method >= 0], minlength=5) == 6).all()
    for row in (0, 25, len(examples) - 1):
        for name in ("v3", "v4"):
            expected = front((folder / examples.names[row]).read_bytes(), name)[0]
            ready, stego, method = examples.batch(np.array([row]), VARIANTS[name])
            for key, value in expected.items():
                assert torch.equal(ready[key], value), key
            assert bool(stego[0, 0]) == examples.names[row].startswith("stego/")
            assert (int(method[0]) >= 0) == bool(stego[0, 0])


def test_cached_examples_are_identical_and_not_decoded_again(folder: Path, examples: Examples, tmp_path: Path) -> None:
    first = load_examples(folder, workers=1, cache=tmp_path, progress=no_progress)
    kept = list(tmp_path.iterdir())
    assert len(kept) == 1
    written = kept[0].stat().st_mtime_ns
    again = load_examples(folder, workers=1, cache=tmp_path, progress=no_progress)
    assert kept[0].stat().st_mtime_ns == written
    for other in (first, again):
        assert other.names == examples.names
        assert other.fingerprint == examples.fingerprint
        np.testing.assert_array_equal(other.method, examples.method)
        for name, array in examples.arrays.items():
            np.testing.assert_array_equal(other.arrays[name], array)


@pytest.mark.parametrize("module", [byte_classes, byte_reader, contract, features, front_end, streams, variants])
def test_changed_code_invalidates_cache(module: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = code_version()
    assert module.__file__ is not None
    edited = tmp_path / "edited.py"
    edited.write_bytes(Path(module.__file__).read_bytes() + b"# edited")
    monkeypatch.setattr(module, "__file__", str(edited))
    assert code_version() != before


def test_other_pillow_version_invalidates_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    before = code_version()
    monkeypatch.setattr(PIL, "__version__", "0.1")
    assert code_version() != before


def test_joins_datasets(examples: Examples) -> None:
    both = join([examples, examples])
    assert len(both) == 2 * len(examples)
    assert both.names == examples.names * 2
    np.testing.assert_array_equal(both.arrays["class_shares"][len(examples) :], examples.arrays["class_shares"])


@pytest.mark.parametrize("name", ["v3", "v4"])
def test_training_is_deterministic_and_export_equals_network(
    name: VariantName, examples: Examples, tmp_path: Path
) -> None:
    recipe = Recipe(seed=3, epochs=3, batch=16)
    logs = []
    contents = []
    for attempt in range(2):
        network, log = train(
            VARIANTS[name], recipe, examples, examples, progress=no_progress, finished_epoch=lambda _: None
        )
        path = tmp_path / f"{attempt}.onnx"
        export(network, path)
        logs.append(log)
        contents.append(path.read_bytes())
        assert largest_difference(network, path) <= 1e-4
    assert logs[0] == logs[1]
    assert contents[0] == contents[1]
    assert [record.epoch for record in logs[0]] == [1, 2, 3]
    assert logs[0][-1].train_loss < logs[0][0].train_loss
    assert Detector.load(tmp_path / "0.onnx").has_method
    assert not list(tmp_path.glob("*.partial"))
    assert not list(tmp_path.glob("*.data"))


def test_log_counts_verdicts_of_exported_model(folder: Path, examples: Examples) -> None:
    network = _seeded(1).eval()
    learned, _ = predict(network, examples)
    with torch.no_grad():
        # Half of the images get a positive logit; only few of them exceed a threshold after prior correction.
        network.stego.bias -= learned.median() - 1.5
    expected = []
    for name in examples.names:
        streams = tensors(decode((folder / name).read_bytes()))
        inputs = [torch.from_numpy(streams[INPUT_STREAMS[given]][None].copy()) for given in network.variant.inputs]
        with torch.no_grad():
            stego, methods, _, _ = network(*inputs)
        predicted = METHODS[int(methods.argmax())]
        expected.append(PRODUCTION.verdict(float(torch.sigmoid(stego)), predicted))
    predicted_stego = verdicts(*predict(network, examples))
    assert predicted_stego.tolist() == expected
    metrics = validation_metrics(network, examples, Recipe(seed=1, epochs=1))
    is_stego = examples.stego == 1
    assert metrics["validation_false_positives"] == int((predicted_stego & ~is_stego).sum())
    assert metrics["validation_misses"] == int((~predicted_stego & is_stego).sum())


def test_method_accuracy_is_none_without_stego_files(examples: Examples, tmp_path: Path) -> None:
    rows = np.flatnonzero(examples.stego == 0)
    clean = replace(
        examples,
        arrays={name: array[rows] for name, array in examples.arrays.items()},
        stego=examples.stego[rows],
        method=examples.method[rows],
    )
    metrics = validation_metrics(_seeded(1), clean, Recipe(seed=1, epochs=1))
    assert metrics["validation_method_accuracy"] is None
    write_log(
        tmp_path / "log.jsonl",
        (EpochRecord(epoch=1, train_loss=0.5, train_accuracy=0.5, learning_rate=0.1, **metrics),),
    )
    assert '"validation_method_accuracy": null' in (tmp_path / "log.jsonl").read_text()
    assert read_training_log(tmp_path / "log.jsonl").epochs[0].validation_loss == metrics["validation_loss"]


def test_export_rejects_diverged_network(tmp_path: Path) -> None:
    network = _seeded(1)
    with torch.no_grad():
        network.stego.bias.fill_(float("nan"))
    with pytest.raises(ModelError, match="outputs differ from the network's by inf"):
        export(network, tmp_path / "model.onnx")
    assert not (tmp_path / "model.onnx").exists()


def test_different_seed_gives_different_network() -> None:
    first, second = (_seeded(seed) for seed in (1, 2))
    assert any(not torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))


def _seeded(seed: int) -> ReferenceNetwork:
    torch.manual_seed(seed)
    return ReferenceNetwork(VARIANTS["v4"])
