"""Label maps by a list of phrases: of the distilled 3D features, and of the 2D teacher alone."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from dff.query.scores import label_probabilities
from dff.scene import Scene, View
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


def labels_of_view(scene: Scene, view: View, phrases: Sequence[str]) -> Int[Tensor, "h w"]:
    """Label map of the 3D features in one of the capture's cameras."""
    hidden = scene.render(view.camera, hidden=True)["hidden_features"]
    return labels_of_hidden(scene, hidden, scene.teacher.encode_text(phrases))


def labels_of_image(
    teacher: Teacher, image: Float[Tensor, "h w 3"], phrases: Sequence[str]
) -> Int[Tensor, "h w"]:
    """Label map of the teacher's own features of a photo, features scaled up bilinearly."""
    features = teacher.encode_image(image).movedim(-1, 0)[None]
    full = F.interpolate(features, image.shape[:2], mode="bilinear", align_corners=False)
    embeddings = teacher.encode_text(phrases)
    return label_probabilities(full[0].movedim(0, -1), embeddings, teacher.logit_scale).argmax(-1)
