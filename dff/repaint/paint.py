"""The colours of a repainting: a copy of the colour network, and a fine texture on top."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from jaxtyping import Float
from nerfstudio.fields.base_field import get_normalized_directions
from torch import Tensor, nn

from dff.fields.hash_encoding import GridShape, HashEncoding
from dff.fields.radiance_field import RadianceField

Points = Float[Tensor, "n 3"]

# The box of what is painted, divided this finely at most; half a megabyte.
TEXTURE = GridShape.geometric(levels=6, base=4, finest=64, log2_table_size=14, features=3)


class FieldPaint(nn.Module):
    """``r(x, d) = sigmoid(colour(d, geometry(x)) + sum over levels of the texture at x)``.

    The texture is a hash grid over a box, three values an entry, which are added to the logits; it
    begins at zero, so that a new paint gives the field's own colours. Positions are those of the
    scene as it was trained: what an edit moves takes its paint along.

    Args:
        field: whose colour network is copied; it stays as it is.
        low, high: corners of the box, in world units; beyond it the texture of its border holds.
        texture: shape of the grid, 3 features; None for no texture.
    """

    def __init__(
        self,
        field: RadianceField,
        low: Sequence[float],
        high: Sequence[float],
        texture: GridShape | None = TEXTURE,
    ) -> None:
        super().__init__()
        self.colour_mlp = copy.deepcopy(field.colour_mlp).requires_grad_(True)
        self.texture = None if texture is None else HashEncoding(texture, init_scale=0.0)
        device = field.aabb.device
        self.low: Tensor
        self.high: Tensor
        self.register_buffer("low", torch.tensor(low, device=device), persistent=False)
        self.register_buffer("high", torch.tensor(high, device=device), persistent=False)
        self.appearance: Tensor
        mean = field.appearance.weight.detach().mean(dim=0)
        self.register_buffer("appearance", mean, persistent=False)
        # In a tuple, because the encoding belongs to the field and not to what is saved.
        self._direction_encoding = (field.direction_encoding,)
        self.to(device)

    def forward(
        self,
        positions: Points,
        directions: Points,
        code: Float[Tensor, "n C"],
        rgb: Float[Tensor, "n 3"],
    ) -> Float[Tensor, "n 3"]:
        """Colours in [0, 1].

        Args:
            positions: in the scene as it was trained, in world units.
            directions: unit view directions.
            code: geometry features there.
            rgb: colours there so far, which the paint covers.
        """
        encoded = self._direction_encoding[0](get_normalized_directions(directions))
        parts = [encoded.to(code), code, self.appearance.to(code).expand(len(code), -1)]
        logits = self.colour_mlp(torch.cat(parts, dim=-1)).to(rgb.dtype)
        if self.texture is not None:
            unit = ((positions - self.low) / (self.high - self.low)).clamp(0.0, 1.0)
            offsets = self.texture(unit).view(len(unit), self.texture.shape.levels, 3)
            logits = logits + offsets.sum(dim=1)
        return torch.sigmoid(logits)
