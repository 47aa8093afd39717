"""The network and its training; skipped where PyTorch is not installed."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from exporter.dataset.synthesis import synthesise
from exporter.detector.model import Detector
from exporter.detector.streams import decode, tensors

torch = pytest.importorskip("torch", reason="PyTorch is not installed (the train extra)")

from training.data import Examples, load_examples  # noqa: E402
from training.export import export, largest_difference  # noqa: E402
from training.fit import Recipe, train  # noqa: E402
from training.network import FrontEnd, IndexParity, ReferenceNetwork  # noqa: E402
from training.variants import VARIANTS, VariantName  # noqa: E402


def nothing(_done: int, _total: int) -> None:
    pass


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("training") / "small"
    synthesise(root, seed=5, clean=24, stego=30, negatives=10, workers=1)
    return root


@pytest.fixture(scope="module")
def examples(folder: Path) -> Examples:
    return load_examples(folder, workers=1, progress=nothing)


def parity(image: Image.Image, file_format: str) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """The network's parity plane of an indexed image, and the indices that were stored."""
    out = io.BytesIO()
    image.save(out, file_format, **({"optimize": False} if file_format == "GIF" else {}))
    streams = tensors(decode(out.getvalue()), ("pixel", "palette"))
    plane = IndexParity()(*(torch.from_numpy(streams[name])[None] for name in ("pixel", "palette")))
    return plane[0, 0].numpy(), np.asarray(image)


@pytest.mark.parametrize("file_format", ["GIF", "PNG", "BMP"])
def test_index_parity_is_read_back_from_colours(file_format: str) -> None:
    rng = np.random.default_rng(2)
    indices = rng.integers(0, 200, (256, 256), dtype=np.uint8)
    # Steps of 8 keep these colours apart in the hash, so that every single pixel can be asked for.
    colours = np.array([(8 * (i % 32), 8 * (i // 32), 64 + i % 7) for i in range(200)], dtype=np.uint8)
    image = Image.fromarray(indices)
    image.putpalette(colours.tobytes(), "RGB")
    plane, stored = parity(image, file_format)
    np.testing.assert_array_equal(plane, np.where(stored & 1, 1.0, -1.0))


def test_black_is_told_from_the_padding_behind_a_short_palette() -> None:
    indices = np.tile(np.array([[0, 1], [2, 1]], dtype=np.uint8), (128, 128))
    image = Image.fromarray(indices)
    image.putpalette(bytes((200, 10, 10, 0, 0, 0, 10, 200, 10)), "RGB")
    plane, stored = parity(image, "PNG")
    np.testing.assert_array_equal(plane, np.where(stored & 1, 1.0, -1.0))


def test_a_picture_without_palette_has_no_parity() -> None:
    plane = IndexParity()(torch.rand(2, 3, 256, 256), torch.zeros(2, 768))
    assert not plane.any()


def test_parity_does_not_depend_on_the_rest_of_the_batch() -> None:
    generator = torch.Generator().manual_seed(1)
    pixel = torch.randint(0, 256, (3, 3, 256, 256), generator=generator).float() / 255
    palette = torch.randint(0, 256, (3, 768), generator=generator).float() / 255
    together = IndexParity()(pixel, palette)
    for i in range(3):
        assert torch.equal(together[i : i + 1], IndexParity()(pixel[i : i + 1], palette[i : i + 1]))


def test_v3_computes_the_lowest_alpha_bit_itself() -> None:
    values = torch.arange(256).float().repeat(256, 1)[None, None] / 255
    given = {name: torch.zeros(1, *VARIANTS["v3"].input_shape(name)) for name in VARIANTS["v3"].inputs}
    ready = FrontEnd(VARIANTS["v3"])({**given, "alpha": values})
    assert torch.equal(ready["alpha_bits"][0, 0, 0], (torch.arange(256) % 2).float())


def test_cached_examples_are_what_the_front_end_makes_of_the_streams(folder: Path, examples: Examples) -> None:
    assert examples.unreadable == 0
    assert int(examples.stego.sum()) == 30
    assert (np.bincount(examples.method[examples.method >= 0], minlength=5) == 6).all()
    variant = VARIANTS["v4"]
    for row in (0, 25, len(examples) - 1):
        streams = tensors(decode((folder / examples.names[row]).read_bytes()))
        from exporter.detector.contract import INPUT_STREAMS

        expected = FrontEnd(variant)({n: torch.from_numpy(streams[INPUT_STREAMS[n]])[None] for n in variant.inputs})
        ready, stego, method = examples.batch(np.array([row]))
        for name, value in expected.items():
            assert torch.equal(ready[name], value), name
        assert bool(stego[0, 0]) == examples.names[row].startswith("stego/")
        assert (int(method[0]) >= 0) == bool(stego[0, 0])


@pytest.mark.parametrize("name", ["v3", "v4"])
def test_training_learns_repeats_itself_and_exports_what_it_learned(
    name: VariantName, examples: Examples, tmp_path: Path
) -> None:
    recipe = Recipe(seed=3, epochs=3, batch=16)
    logs = []
    contents = []
    for attempt in range(2):
        network, log = train(
            VARIANTS[name], recipe, examples, examples, progress=nothing, finished_epoch=lambda _: None
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
    assert not list(tmp_path.glob("*.part"))
    assert not list(tmp_path.glob("*.data"))


def test_another_seed_gives_another_network() -> None:
    first, second = (_seeded(seed) for seed in (1, 2))
    assert any(not torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))


def _seeded(seed: int) -> ReferenceNetwork:
    torch.manual_seed(seed)
    return ReferenceNetwork(VARIANTS["v4"])
