"""LSeg's network against the published arithmetic, written plainly in `lseg_support`."""

from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from dff.errors import DffError
from dff.teachers.lseg import LSegTeacher
from dff.teachers.lseg_network import LSegNetwork
from dff.teachers.lseg_shape import LSegShape
from dff.teachers.options import LSegOptions

sys.path.insert(0, str(Path(__file__).parent))

from lseg_support import (
    RELEASED,
    SMALL,
    SMALL_SHAPE,
    double,
    features,
    random_tensors,
    tensor_shapes,
    text,
)


@pytest.fixture(scope="module")
def tensors() -> dict[str, torch.Tensor]:
    return random_tensors(SMALL)


@pytest.fixture(scope="module")
def network(tensors) -> LSegNetwork:
    network = LSegNetwork(SMALL_SHAPE)
    network.load_state_dict({name.removeprefix("net."): t for name, t in tensors.items()})
    return network.eval().requires_grad_(False)


def relative(ours: torch.Tensor, theirs: torch.Tensor) -> float:
    """Largest difference, relative to the largest value."""
    assert ours.shape == theirs.shape
    return float((ours - theirs).abs().max() / theirs.abs().max())


@pytest.mark.parametrize(("shape", "sizes"), [(None, RELEASED), (SMALL_SHAPE, SMALL)])
def test_tensors_have_the_published_names_and_shapes(shape, sizes) -> None:
    with torch.device("meta"):
        state = LSegNetwork(shape).state_dict()
    ours = {f"net.{name}": tuple(tensor.shape) for name, tensor in state.items()}
    assert ours == tensor_shapes(sizes)
    if shape is None:
        assert len(ours) == 730
        assert sum(math.prod(sides) for sides in ours.values()) == 495_144_697


@pytest.mark.parametrize("size", [(32, 32), (64, 64), (64, 96), (160, 32)])
def test_features_are_the_published_ones(network, tensors, size) -> None:
    images = torch.rand(2, 3, *size, dtype=torch.float64) * 2 - 1
    theirs = features(double(tensors), images, SMALL_SHAPE.taps, SMALL_SHAPE.heads)
    assert theirs.shape == (2, 24, *size)
    # Not one value for all: neighbours, images and channels differ.
    assert theirs.std(dim=(2, 3)).min() > 1e-3
    assert relative(network(images.float()), theirs) < 1e-5


def test_an_image_is_the_same_alone_and_in_a_batch(network) -> None:
    images = torch.rand(3, 3, 64, 32)
    alone = torch.cat([network(image[None]) for image in images])
    assert relative(network(images), alone) < 1e-5


def test_what_is_dropped_takes_no_part(tensors) -> None:
    network = LSegNetwork(SMALL_SHAPE)
    network.load_state_dict({name.removeprefix("net."): t for name, t in tensors.items()})
    network.eval()
    images, tokens = torch.rand(1, 3, 32, 64), torch.tensor([[5, 9, 49407, *([0] * 9)]])
    before = network(images), network.encode_text(tokens)
    names = set(network.state_dict())
    network.drop_unused()
    assert torch.equal(network(images), before[0])
    assert torch.equal(network.encode_text(tokens), before[1])
    dropped = names - set(network.state_dict())
    assert dropped == {
        name
        for name in names
        if name.startswith(
            (
                "clip_pretrained.visual.",
                "clip_pretrained.logit_scale",
                "pretrained.model.norm.",
                "pretrained.model.head.",
                "scratch.refinenet4.resConfUnit1.",
            )
        )
    }


def test_text_embeddings_are_those_of_clip(network, tensors) -> None:
    tokens = torch.tensor(
        [
            [49406, 320, 3055, 49407] + [0] * 8,
            [49406, 49407] + [0] * 10,
            [49406, *range(500, 510), 49407],
        ]
    )
    theirs = text(double(tensors), tokens, SMALL_SHAPE.clip.heads)
    assert relative(network.encode_text(tokens), theirs) < 1e-5
    # The mask is causal: what stands behind the end token changes nothing.
    longer = tokens.clone()
    longer[0, 4:] = 77
    assert relative(network.encode_text(longer)[:2], theirs[:2]) < 1e-5


@pytest.mark.parametrize(
    ("shape", "says"),
    [((1, 3, 48, 64), "multiples of 32"), ((1, 3, 64, 8), "multiples of 32")]
    + [(shape, r"\(B, 3, H, W\)") for shape in [(3, 32, 32), (1, 4, 32, 32), (1, 3, 0, 32)]],
)
def test_other_images_are_refused(network, shape, says) -> None:
    with pytest.raises(DffError, match=says):
        network(torch.zeros(shape))


CHILD = """
import re, sys, time
from pathlib import Path
import open_clip, timm, torch
from dff.teachers.lseg import LSegTeacher
from dff.teachers.options import LSegOptions

def peak():
    # Not getrusage: a child starts with its parent's figure there.
    return int(re.search(r"VmHWM:\\s*(\\d+) kB", Path("/proc/self/status").read_text())[1]) / 1e6

before = peak()
teacher = LSegTeacher.load(LSegOptions(checkpoint=Path(sys.argv[1])))
loaded = peak() - before
image = torch.rand(605, 806, 3)
start = time.perf_counter()
features = teacher.encode_image(image)
seconds = time.perf_counter() - start
assert features.shape == (54, 72, 512), features.shape
print(loaded, peak() - before, seconds, features.numel() * 2)
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read from /proc")
def test_the_released_size_loads_in_one_copy_and_gives_the_published_numbers(tmp_path) -> None:
    path = tmp_path / "demo_e200.ckpt"
    tensors = random_tensors(RELEASED)
    torch.save({"state_dict": tensors, "epoch": 200}, path)
    weights = sum(t.numel() * t.element_size() for t in tensors.values()) / 1e9

    run = subprocess.run(
        [sys.executable, "-c", CHILD, str(path)], capture_output=True, text=True, check=True
    )
    loaded, peak, seconds, size = map(float, run.stdout.split())
    print(f"loaded {loaded:.2f} GB, peak {peak:.2f} GB, {seconds:.1f} s, {size / 1e6:.1f} MB a map")
    assert weights == pytest.approx(1.98, abs=0.01)
    assert 0.9 * weights < loaded < weights + 0.2
    assert peak < weights + 0.7
    assert size <= 6e6

    teacher = LSegTeacher.load(LSegOptions(checkpoint=path))
    path.unlink()  # pytest keeps its folders, and this is 2 GB
    shape = LSegShape()
    images = torch.rand(1, 3, 96, 128, dtype=torch.float64) * 2 - 1
    doubles = double(tensors)
    theirs = features(doubles, images, shape.taps, shape.heads)
    difference = relative(teacher.network(images.float()), theirs)
    tokens = torch.zeros(1, 77, dtype=torch.long)
    tokens[0, :4] = torch.tensor([49406, 320, 3055, 49407])
    of_text = relative(teacher.network.encode_text(tokens), text(doubles, tokens, shape.clip.heads))
    print(f"relative difference {difference:.1e}, of text {of_text:.1e}")
    assert difference < 1e-4
    assert of_text < 1e-4
