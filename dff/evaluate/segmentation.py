"""Label maps by a list of phrases: of the distilled 3D features, and of the 2D teacher alone."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from dff.query.folded import fold_queries
from dff.query.scores import cosine_scores, label_probabilities
from dff.scene import Scene
from dff.teachers import Teacher


def labels_of_hidden(
    scene: Scene, hidden: Float[Tensor, "h w H"], embeddings: Float[Tensor, "n D"]
) -> Int[Tensor, "h w"]:
    """Index of the best phrase at each pixel of a rendered view, by the scene's text teacher."""
    assert scene.model.feature_field is not None
    name, scale = scene.teacher.name, scene.teacher.logit_scale
    with torch.no_grad():
        features = scene.model.feature_field.decode(hidden.to(scene.model.device), name)
    return label_probabilities(features, embeddings.to(features), scale).argmax(dim=-1).cpu()


def labels_of_image(
    teacher: Teacher, image: Float[Tensor, "h w 3"], phrases: Sequence[str]
) -> Int[Tensor, "h w"]:
    """Label map of the teacher's own features of a photo, features scaled up bilinearly."""
    features = teacher.encode_image(image).movedim(-1, 0)[None]
    full = F.interpolate(features, image.shape[:2], mode="bilinear", align_corners=False)
    embeddings = teacher.encode_text(phrases)
    return label_probabilities(full[0].movedim(0, -1), embeddings, teacher.logit_scale).argmax(-1)


# Pixels whose features are held at once.
_BAND = 200_000


def cosines_of_hidden(
    scene: Scene, hidden: Float[Tensor, "h w H"], embeddings: Float[Tensor, "n D"], teacher: str
) -> Float[Tensor, "h w n"]:
    """Cosine similarity of a rendered view with embeddings of one of the scene's teachers."""
    assert scene.model.feature_field is not None
    weight = scene.model.feature_field.head(teacher).weight
    with torch.no_grad():
        folded = fold_queries(weight, None, embeddings.to(weight))
        return folded.cosines(hidden.to(weight)).cpu()


def cosines_of_map(
    features: Float[Tensor, "gh gw D"], embeddings: Float[Tensor, "n D"], size: tuple[int, int]
) -> Float[Tensor, "h w n"]:
    """Cosine similarity of a teacher's feature map with embeddings, at every pixel of a picture.

    Features are interpolated bilinearly, as in `labels_of_image`, a band of rows at a time.

    Args:
        features: on the teacher's own grid.
        embeddings: in its space.
        size: height and width of the picture.
    """
    height, width = size
    grid = features.float().movedim(-1, 0)[None]
    x = (torch.arange(width).to(grid) + 0.5) / width * 2 - 1
    y = (torch.arange(height).to(grid) + 0.5) / height * 2 - 1
    rows = max(1, _BAND // width)
    parts = []
    for start in range(0, height, rows):
        places = torch.stack(torch.meshgrid(y[start : start + rows], x, indexing="ij")[::-1], -1)
        band = F.grid_sample(grid, places[None], padding_mode="border", align_corners=False)
        parts.append(cosine_scores(band[0].movedim(0, -1), embeddings.to(grid)))
    return torch.cat(parts).cpu()
