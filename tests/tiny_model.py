"""A model small enough to look at, and a few rays through it."""

from __future__ import annotations

import torch
from nerfstudio.cameras.rays import RayBundle
from nerfstudio.data.scene_box import SceneBox

from dff.checkpoint import TeacherRecord
from dff.model import DFFModel, DFFModelConfig

RAYS, DIM = 24, 5


def tiny_model(**more) -> DFFModel:
    """A model small enough to look at, in a random fog that varies in space."""
    config = DFFModelConfig(
        num_levels=3,
        features_per_level=2,
        max_res=32,
        log2_hashmap_size=10,
        hidden_dim=16,
        num_proposal_samples_per_ray=(16,),
        num_nerf_samples_per_ray=10,
        proposal_net_args_list=[
            {"hidden_dim": 8, "log2_hashmap_size": 9, "num_levels": 2, "max_res": 16}
        ],
        feature_num_levels=3,
        feature_max_res=32,
        feature_log2_hashmap_size=10,
        feature_features_per_level=2,
        feature_hidden_dim=8,
        implementation="torch",
        near_plane=0.1,
        far_plane=6.0,
        **more,
    )
    metadata = {"teachers": (TeacherRecord("colour", DIM, "c0"),)} if config.train_features else {}
    box = SceneBox(torch.tensor([[-1.0] * 3, [1.0] * 3]))
    model = DFFModel(config, box, num_train_data=4, metadata=metadata)
    model.prior.grid.copy_(3 * torch.rand_like(model.prior.grid))
    for field in (model.field, model.feature_field):
        if field is not None:  # tables start at nearly zero: make places differ
            for parameter in field.encoding.parameters():
                parameter.data.copy_(torch.randn_like(parameter))
    return model


def rays(count: int = RAYS) -> RayBundle:
    directions = torch.nn.functional.normalize(torch.randn(count, 3), dim=-1)
    return RayBundle(
        origins=torch.randn(count, 3) * 0.3,
        directions=directions,
        pixel_area=torch.full((count, 1), 1e-4),
        camera_indices=torch.randint(0, 4, (count, 1)),
        nears=torch.full((count, 1), 0.1),
        fars=torch.full((count, 1), 6.0),
    )
