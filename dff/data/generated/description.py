"""What a generated scene consists of: things, a table in a room, and light. Data only."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from dff.data.generated.colours import Colour, colour_names
from dff.data.generated.layout import SceneObject, arrange, footprint, free_place, sample_pose
from dff.data.generated.materials import Look, natural_colours, sample_look
from dff.data.generated.objects import object_names
from dff.edits.similarity import Similarity
from dff.errors import DffError

MOST_OBJECTS = 16
# Masks are 8-bit pictures.
LAST_NUMBER = 255


@dataclass(frozen=True)
class Light:
    """A soft key light and an even light from above.

    Attributes:
        direction: unit vector towards the key light.
        softness: its apparent radius, in radians.
        key, sky: their strengths, linear RGB.
    """

    direction: tuple[float, float, float]
    softness: float
    key: Colour
    sky: Colour


@dataclass(frozen=True)
class SceneDescription:
    """A scene before it is seen; change it with the methods below and render it again.

    Attributes:
        objects: the things on the table.
        light: see `Light`.
        seed: seeds the paint of table and room.
        table_half: half the side of the table top, in decimetres.
    """

    objects: tuple[SceneObject, ...]
    light: Light
    seed: int
    table_half: float = 2.7

    def find(self, instance: int) -> SceneObject:
        """The thing of that number.

        Raises:
            DffError: if there is none.
        """
        for thing in self.objects:
            if thing.instance == instance:
                return thing
        known = ", ".join(f"{t.instance} {t.phrase}" for t in self.objects)
        raise DffError(f"the scene has no thing number {instance}; it has: {known}")

    def without(self, *instances: int) -> SceneDescription:
        """The scene with these things taken away."""
        for instance in instances:
            self.find(instance)
        kept = tuple(t for t in self.objects if t.instance not in instances)
        return replace(self, objects=kept)

    def changed(self, thing: SceneObject) -> SceneDescription:
        """The scene with the thing of the same number replaced by this one."""
        self.find(thing.instance)
        kept = tuple(thing if t.instance == thing.instance else t for t in self.objects)
        return replace(self, objects=kept)

    def recoloured(self, instance: int, colour: str) -> SceneDescription:
        """The scene with one thing painted anew in a named colour."""
        thing = self.find(instance)
        look = sample_look(thing.name, np.random.default_rng(self.seed), colour, patterned=0.0)
        return self.changed(replace(thing, look=_one_coloured(look)))

    def hue_turned(self, instance: int, degrees: int) -> SceneDescription:
        """The scene with a thing's paint turned in hue, as the edit ``hue`` turns what one sees.

        The edit acts on display values, which are paint times light through sRGB's curve, and the
        hue of those is not that of the paint, but for thirds of a turn: these exchange the
        channels, and an exchange passes through the curve, through mixing and through white light
        as it is. The light of these scenes is only nearly white: what one sees of paint that was
        turned, and what one saw of the paint, turned, agree to 32 to 35 dB. Greyscale, by
        contrast, weighs display values, and there is no paint that looks like it.

        Args:
            instance: the thing; all its parts are painted anew.
            degrees: a multiple of 120; red turned by 120 is green.

        Raises:
            DffError: for another angle, or a thing that is not there.
        """
        if degrees % 120:
            raise DffError(f"the hue of paint can be turned by multiples of 120, not by {degrees}")
        thing, thirds = self.find(instance), degrees // 120 % 3

        def turned(colour: Colour) -> Colour:
            r, g, b = (colour[(channel - thirds) % 3] for channel in range(3))
            return (r, g, b)

        parts = {
            name: replace(material, first=turned(material.first), second=turned(material.second))
            for name, material in thing.look.parts.items()
        }
        # What it is called then is another matter.
        look = replace(thing.look, colour=None if thirds else thing.look.colour, parts=parts)
        return self.changed(replace(thing, look=look))

    def moved(
        self,
        instance: int,
        offset: tuple[float, float, float],
        turn: float = 0.0,
        scale: float = 1.0,
    ) -> SceneDescription:
        """The scene with one thing put elsewhere; see `SceneObject.placing`."""
        thing = self.find(instance)
        return self.placed(instance, thing.placing(offset, turn, scale))

    def placed(self, instance: int, placing: Similarity) -> SceneDescription:
        """The scene with one thing moved, turned and scaled, in decimetres."""
        return self.changed(self.find(instance).placed(placing))

    def duplicated(self, instance: int, placing: Similarity) -> SceneDescription:
        """The scene with one thing twice, the second of them placed; its number is the next one."""
        return self.with_thing(self.find(instance).placed(placing))

    def with_thing(self, thing: SceneObject) -> SceneDescription:
        """The scene with one more thing, whatever scene that is from; its number is the next one.

        Raises:
            DffError: there are no numbers left.
        """
        number = self.next_number
        if number > LAST_NUMBER:
            raise DffError(f"a scene has things of numbers up to {LAST_NUMBER} only")
        return replace(self, objects=(*self.objects, replace(thing, instance=number)))

    @property
    def next_number(self) -> int:
        """What the next thing to be added is numbered."""
        return max((thing.instance for thing in self.objects), default=0) + 1

    def free_place(self, thing: SceneObject) -> tuple[float, float, float]:
        """The shift that puts a thing closest to the middle of the table, where nothing stands."""
        others = [footprint(other.geometry().vertices) for other in self.objects]
        x, y = free_place(footprint(thing.geometry().vertices), others, self.table_half)
        return x, y, 0.0


def describe_scene(seed: int = 0, num_objects: int = 8, detail: int = 40) -> SceneDescription:
    """A table-top of everyday things, an apple and a banana among them.

    At least two pairs of things share their colour (from four things on), so that a colour alone
    does not say what a thing is.

    Args:
        seed: fixes everything.
        num_objects: 1 to 16; names repeat, in other colours, only once all have been used.
        detail: segments around turned shapes.

    Raises:
        DffError: for a number of things out of range.
    """
    if not 1 <= num_objects <= MOST_OBJECTS:
        raise DffError(f"a generated scene has 1 to {MOST_OBJECTS} things, not {num_objects}")
    rng = np.random.default_rng(seed)
    names = _choose_names(rng, num_objects)
    things, outlines = [], []
    for k, (name, colour) in enumerate(zip(names, _choose_colours(rng, names), strict=True)):
        natural = colour in natural_colours(name) and name in ("apple", "banana")
        look = sample_look(name, rng, colour, patterned=0.25)
        if natural:
            # With the blotches that such fruit has in that colour.
            while (look := sample_look(name, rng)).colour != colour:
                pass
        look = _one_coloured(look)
        thing = SceneObject(
            instance=k + 1,
            name=name,
            shape_seed=int(rng.integers(2**31)),
            pattern_seed=int(rng.integers(2**31)),
            look=look,
            rotation=tuple(tuple(map(float, row)) for row in sample_pose(name, rng, calm=True)),
            position=(0.0, 0.0, 0.0),
            detail=detail,
        )
        things.append(thing)
        outlines.append(footprint(thing.geometry().vertices))
    places = arrange(outlines, rng, spread=0.75, gap=0.12)
    places = places - (places.max(0) + places.min(0)) / 2
    reach = max(np.abs(o + p).max() for o, p in zip(outlines, places, strict=True))
    objects = tuple(
        replace(t, position=(float(x), float(y), float(-t.geometry().vertices[:, 2].min())))
        for t, (x, y) in zip(things, places, strict=True)
    )
    turn, lift = rng.uniform(0, 2 * np.pi), np.radians(rng.uniform(48, 62))
    direction = (np.cos(lift) * np.cos(turn), np.cos(lift) * np.sin(turn), np.sin(lift))
    light = Light(
        direction=tuple(map(float, direction)),  # type: ignore[arg-type]
        softness=0.12,
        key=(0.78, 0.74, 0.68),
        sky=(0.42, 0.45, 0.5),
    )
    return SceneDescription(objects, light, seed, table_half=float(max(2.4, reach + 0.4)))


_BODY_COLOURED = ("inside", "handle", "dough", "lid", "belly")


def _one_coloured(look: Look) -> Look:
    """The look with large second parts in the body's colour, so that a "red bowl" is red inside."""
    parts = {k: v for k, v in look.parts.items() if k not in _BODY_COLOURED}
    return replace(look, parts=parts)


def _choose_names(rng: np.random.Generator, count: int) -> list[str]:
    others = [str(n) for n in rng.permutation([n for n in object_names() if n not in _FIRST])]
    names = [*_FIRST, *others]
    return [names[k % len(names)] for k in range(count)]


_FIRST = ("apple", "banana")


def _choose_colours(rng: np.random.Generator, names: list[str]) -> list[str]:
    """A colour for each: things 2 and 3 take those of 0 and 1, the others take what is left."""
    colours: list[str] = []
    spare: list[str] = []
    for k, name in enumerate(names):
        if k < 2:
            wished = list(dict.fromkeys(natural_colours(name)))
            colours.append(next(c for c in wished if c not in colours))
        elif k < 4 and len(names) >= 4:
            colours.append(colours[k - 2])
        else:
            taken = {c for n, c in zip(names, colours, strict=False) if n == name}
            spare = spare or [
                str(c) for c in rng.permutation(colour_names()) if c not in colours[:2]
            ]
            fit = next((c for c in spare if c not in taken), spare[0])
            spare.remove(fit)
            colours.append(fit)
    return colours
