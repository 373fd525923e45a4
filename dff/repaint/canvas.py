"""What is painted on: a scene's selection, ready to be looked at from anywhere."""

from __future__ import annotations

import dataclasses
import hashlib
from typing import TYPE_CHECKING

import torch
from nerfstudio.cameras.cameras import Cameras

from dff.edits.compiled import CompiledEdits
from dff.edits.layers import Chosen
from dff.edits.operations import Repaint
from dff.edits.plan import Step, plan_layers
from dff.errors import DffError
from dff.field_matter import FieldMatter
from dff.repaint.cameras import Region
from dff.repaint.guide import RandomViews
from dff.repaint.paint import TEXTURE, FieldPaint
from dff.repaint.seeds import seed_of
from dff.repaint.views import PreparedView, prepare
from dff.selection.at_points import Placed
from dff.selection.selection import Selection

if TYPE_CHECKING:
    from dff.scene import Scene


@dataclasses.dataclass(frozen=True, eq=False)
class Canvas:
    """What is painted on.

    Attributes:
        scene: trained; it stays as it is.
        selection: of that scene, not empty.
        edits: of that scene: one layer with one act, whose mask is the selection.
        region: where it is.
    """

    scene: Scene
    selection: Selection
    edits: CompiledEdits
    region: Region

    @classmethod
    def of(cls, scene: Scene, selection: Selection) -> Canvas:
        """Of a selection.

        Raises:
            DffError: nothing is selected.
        """
        if selection.count == 0:
            made = "; ".join(selection.made_by)
            raise DffError(f"there is nothing to paint: the selection is empty ({made})")
        features = scene.model.feature_field
        if features is None:
            raise DffError("this scene was trained without features: nothing can be selected in it")
        scorer = None if selection.exact is None else selection.exact.on(features)
        model = scene.model
        matter = dataclasses.replace(
            FieldMatter(model.field, model.density_fns, features, snap=scene.surface.snap),
            places=(Placed(selection),),
            scorers=(scorer,),
        )
        grid = selection.grid
        chosen = Chosen(0, 0, selection.values, grid.points, grid.reach)
        operation = Repaint(file="paint")
        layers = plan_layers([grid.points], [Step(operation, chosen)])
        edits = CompiledEdits(layers, (matter,), (operation,))
        return cls(scene, selection, edits, Region.of(selection))

    def prepare(self, camera: Cameras) -> PreparedView:
        """A camera's view of it."""
        return prepare(self.scene.model, self.edits, camera)

    def random_views(self, size: int, seed: int) -> RandomViews:
        """Random views that frame it."""
        cameras = self.scene.training_cameras
        return RandomViews(cameras, self.region, self.prepare, size, seed)

    def new_paint(self, texture: bool, seed: int) -> FieldPaint:
        """Paint of the colours that are there."""
        with torch.random.fork_rng():
            torch.manual_seed(seed_of(seed, "paint", 0))
            low, high = self.region.low.tolist(), self.region.high.tolist()
            return FieldPaint(self.scene.model.field, low, high, TEXTURE if texture else None)

    @property
    def digest(self) -> str:
        """Hash of what is selected."""
        digest = hashlib.sha256(self.selection.values.numpy().tobytes())
        digest.update(self.selection.settled.numpy().tobytes())
        exact = self.selection.exact
        if exact is not None:
            digest.update(f"{exact.threshold} {exact.softness}".encode())
            for part in exact.parts:
                digest.update(f"{part.teacher} {part.query.scale} {part.query.rule}".encode())
                for side in (part.query.positives, part.query.negatives):
                    digest.update(side.cpu().numpy().tobytes())
        return digest.hexdigest()
