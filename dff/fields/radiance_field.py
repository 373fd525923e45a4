"""The radiance field: density and view-dependent colour from a hash grid and two small MLPs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from jaxtyping import Bool, Float, Int
from nerfstudio.cameras.rays import RaySamples
from nerfstudio.field_components.activations import trunc_exp
from nerfstudio.field_components.encodings import SHEncoding
from nerfstudio.field_components.field_heads import FieldHeadNames
from nerfstudio.fields.base_field import Field, get_normalized_directions
from torch import Tensor, nn

from dff.fields.blocks import ResolvedImplementation, grid_encoding, layout_of, mlp
from dff.fields.colour_activation import colour_sigmoid
from dff.fields.contraction import to_unit_cube
from dff.fields.hash_encoding import GridShape
from dff.fields.visibility import DensityPrior


class ColourField(Protocol):
    """What gives colours."""

    def colour_of(
        self,
        geometry: Tensor,
        directions: Tensor,
        appearance: Tensor | None = None,
        ray: Tensor | None = None,
    ) -> Tensor:
        """See `RadianceField.colour_of`."""
        ...


@dataclass(frozen=True)
class RadianceShape:
    """Sizes of the radiance field.

    Attributes:
        grid: its hash grid.
        hidden_dim: width of both MLPs.
        geometry_dim: values handed from the density to the colour network.
        appearance_dim: length of the per-image appearance embedding; 0 switches it off.
    """

    grid: GridShape
    hidden_dim: int = 64
    geometry_dim: int = 15
    appearance_dim: int = 0


class RadianceField(Field):
    """Density ``sigma(x)`` and colour ``c(x, d)`` with an optional appearance embedding per image.

    Args:
        aabb: scene box, ``(2, 3)``.
        num_images: training images, one appearance embedding each.
        shape: sizes.
        prior: initial density, which the network's output multiplies.
        contracted: contract unbounded space into a cube; otherwise the scene box alone counts.
        implementation: see `dff.fields.blocks`.
    """

    aabb: Tensor

    def __init__(
        self,
        aabb: Float[Tensor, "2 3"],
        num_images: int,
        shape: RadianceShape,
        prior: DensityPrior,
        contracted: bool,
        implementation: ResolvedImplementation,
    ) -> None:
        super().__init__()
        self.register_buffer("aabb", aabb)
        self.shape = shape
        self.prior = prior
        self.contracted = contracted
        self.encoding = grid_encoding(shape.grid, implementation)
        self.density_mlp = mlp(
            shape.grid.out_dim, shape.hidden_dim, 1 + shape.geometry_dim, 1, implementation
        )
        self.direction_encoding = SHEncoding(levels=4, implementation=layout_of(implementation))
        self.colour_mlp = mlp(
            16 + shape.geometry_dim + shape.appearance_dim,
            shape.hidden_dim,
            3,
            2,
            implementation,
        )
        # Zero at the start: all images agree until the data says otherwise.
        self.appearance = nn.Embedding(num_images, shape.appearance_dim)
        nn.init.zeros_(self.appearance.weight)

    def density_at(
        self, positions: Float[Tensor, "*batch 3"]
    ) -> tuple[Float[Tensor, "*batch 1"], Float[Tensor, "*batch geometry"]]:
        """Density in 1 / world unit and the geometry features, at world positions."""
        unit = to_unit_cube(positions, self.aabb, self.contracted)
        # A point exactly on the far border belongs to no cell.
        inside = ((unit > 0.0) & (unit < 1.0)).all(dim=-1, keepdim=True)
        flat = self.encoding(unit.reshape(-1, 3))
        size = (*positions.shape[:-1], 1 + self.shape.geometry_dim)
        raw = self.density_mlp(flat).view(size).to(positions.dtype)
        density = self.prior(unit) * trunc_exp(raw[..., :1])
        return density * inside, raw[..., 1:]

    def colour_of(
        self,
        geometry: Float[Tensor, "*batch geometry"],
        directions: Float[Tensor, "*#batch 3"],
        appearance: Float[Tensor, "*batch appearance"] | None = None,
        ray: Int[Tensor, "*batch"] | None = None,
    ) -> Float[Tensor, "*batch 3"]:
        """Colour in [0, 1] from geometry features and unit view directions.

        Args:
            geometry: what `density_at` gave.
            directions: of each, or one entry, (rays, 1, 3), for all samples of a ray.
            appearance: the mean of the training images' where none is given.
            ray: which of the directions each is seen along, where they are given by ray, (rays, 3).
        """
        encoded = self.direction_encoding(get_normalized_directions(directions).reshape(-1, 3))
        encoded = encoded.view(*directions.shape[:-1], 16).to(geometry.dtype)
        if ray is not None:
            encoded = encoded[ray]
        parts = [encoded.expand(*geometry.shape[:-1], 16), geometry]
        if self.shape.appearance_dim:
            if appearance is None:
                appearance = self.appearance.weight.mean(dim=0).expand(*geometry.shape[:-1], -1)
            parts.append(appearance)
        joined = torch.cat(parts, dim=-1)
        rgb = colour_sigmoid(self.colour_mlp(joined.view(-1, joined.shape[-1])))
        return rgb.view(*geometry.shape[:-1], 3).to(geometry.dtype)

    def get_density(self, ray_samples: RaySamples) -> tuple[Tensor, Tensor]:
        """Density and geometry features at the centres of the ray samples."""
        return self.density_at(ray_samples.frustums.get_positions())

    def get_outputs(
        self, ray_samples: RaySamples, density_embedding: Tensor | None = None
    ) -> dict[FieldHeadNames, Tensor]:
        """Colour of the ray samples, with the image's own appearance while training."""
        assert density_embedding is not None
        appearance = None
        if self.training and self.shape.appearance_dim:
            assert ray_samples.camera_indices is not None
            appearance = self.appearance_of(ray_samples.camera_indices[..., 0])
        directions = ray_samples.frustums.directions
        if directions.ndim > 2 and directions.stride(-2) == 0:
            directions = directions[..., :1, :]
        rgb = self.colour_of(density_embedding, directions, appearance)
        return {FieldHeadNames.RGB: rgb}

    def appearance_of(self, images: Int[Tensor, "*batch"]) -> Float[Tensor, "*batch appearance"]:
        """Appearance embedding of the given training images."""
        return self.appearance(images)


def colour_where(
    seen: Bool[Tensor, "rays samples"],
    field: ColourField,
    geometry: Float[Tensor, "rays samples geometry"],
    ray_samples: RaySamples,
) -> Float[Tensor, "rays samples 3"]:
    """Colour in [0, 1] of the ray samples that are seen, zero elsewhere."""
    samples = seen.shape[-1]
    index = seen.reshape(-1).nonzero()[:, 0]
    codes = geometry.reshape(-1, geometry.shape[-1])[index]
    directions = ray_samples.frustums.directions
    if directions.shape[-2] == 1 or directions.stride(-2) == 0:
        colours = field.colour_of(codes, directions[:, 0], ray=index // samples)
    else:
        colours = field.colour_of(codes, directions.expand(*seen.shape, 3).reshape(-1, 3)[index])
    rgb = geometry.new_zeros(seen.numel(), 3)
    rgb[index] = colours
    return rgb.view(*seen.shape, 3)
