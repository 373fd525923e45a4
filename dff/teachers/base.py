"""What every teacher can do."""

from __future__ import annotations

import abc
from collections.abc import Callable, Sequence
from pathlib import Path

from jaxtyping import Float
from torch import Tensor

from dff.errors import DffError

CANONICAL_PHRASES: tuple[str, ...] = ("object", "things", "stuff", "texture")


class Teacher(abc.ABC):
    """A frozen 2D network that gives a feature map per image and, with a text tower, embeddings.

    Grid: cell (i, j) of an (h, w) map covers the image rectangle
    ``[i H / h, (i + 1) H / h) x [j W / w, (j + 1) W / w)`` and its value sits at the cell's centre.
    Features and embeddings have unit length; ``logit_scale * cosine`` is what a softmax takes.

    Attributes:
        name: the name it is asked for by.
        dim: D, the length of a feature.
        fingerprint: hex SHA-256 over weights and preprocessing; another one means other features.
        logit_scale: what cosine similarity is multiplied with.
        canonical_phrases: default negatives of a text query.
        known_names: names of things that it knows, where its vocabulary is closed; else none.
    """

    name: str
    dim: int
    fingerprint: str
    logit_scale: float
    canonical_phrases: tuple[str, ...] = CANONICAL_PHRASES
    known_names: tuple[str, ...] = ()

    @property
    @abc.abstractmethod
    def has_text(self) -> bool:
        """Whether `encode_text` works."""

    @abc.abstractmethod
    def grid_shape(self, height: int, width: int) -> tuple[int, int]:
        """The (h, w) of the feature map of an image of this height and width in pixels."""

    @abc.abstractmethod
    def encode_image(
        self, image: Float[Tensor, "height width 3"]
    ) -> Float[Tensor, "grid_height grid_width dim"]:
        """Unit features of an sRGB image in [0, 1], float32.

        Raises:
            DffError: if the image is not of shape (H, W, 3).
        """

    def encode_file(
        self, path: Path, load_image: Callable[[Path], Float[Tensor, "height width 3"]]
    ) -> Float[Tensor, "grid_height grid_width dim"]:
        """Unit features of an image file; what the feature cache calls.

        Args:
            path: the image file.
            load_image: reads it as `encode_image` wants it.

        Raises:
            DffError: the image cannot be read.
        """
        return self.encode_image(load_image(path))

    def file_key(self, path: Path) -> bytes:
        """Whatever else than the image's bytes its features depend on; nothing for a network."""
        return b""

    @abc.abstractmethod
    def encode_text(self, phrases: Sequence[str]) -> Float[Tensor, "phrases dim"]:
        """Unit embeddings of phrases, float32, one row each in their order.

        Raises:
            DffError: for no phrases, an empty phrase, or words that the teacher cannot know.
        """


def check_image(image: Tensor) -> None:
    """Raises `DffError` for anything but a picture of shape (height, width, 3)."""
    if image.ndim != 3 or image.shape[-1] != 3 or 0 in image.shape:
        raise DffError(f"an image must have shape (height, width, 3), not {tuple(image.shape)}")
