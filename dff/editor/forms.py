"""Panels for operations, made from their own descriptions, so that every parameter has one."""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import ValidationError
from pydantic.fields import FieldInfo

from dff.editor.asking import TEXT_SOFTNESS
from dff.editor.elements import NOTHING, offer, put
from dff.edits.explain import explain
from dff.edits.operations import OPERATIONS, RECOLOR_FUNCTIONS
from dff.edits.selections import FileSelection, TextSelection
from dff.edits.strict import Strict
from dff.errors import DffError
from dff.query.text import split_phrases

RECOLOUR = "recolour"
# Of parameters without a default.
BEGINNINGS = {
    "factor": 0.5,
    "degrees": 120.0,
    "color": (0.9, 0.3, 0.1),
    "order": "gbr",
}
# Of numbers whose whole range no slider could show, the part that one shows.
RANGES = {"scale": (0.1, 4.0), "gain": (0.0, 4.0), "factor": (0.0, 3.0)}
LEFT_OUT = ("type", "function", "matrix")


def kinds() -> dict[str, type[Strict]]:
    """Operations by the name that a person chooses them by."""
    plain = {name: kind for name, kind in OPERATIONS.items() if name != "repaint"}
    return {**{f"{RECOLOUR}: {name}": kind for name, kind in RECOLOR_FUNCTIONS.items()}, **plain}


def kind_of(operation: Strict) -> str | None:
    """The name that an operation is chosen by; None: it has no panel."""
    return next((name for name, kind in kinds().items() if type(operation) is kind), None)


class KeptName(str):
    """What a kept selection is called: which file that is, is known when a step is made of it."""


@dataclass(frozen=True)
class Field:
    """One parameter as a person sets it.

    Attributes:
        read: what the document says.
        write: show what the document says.
        handles: the elements.
        idle: those of them that change nothing as the others are set now.
        typed: whether it is a text, which makes no sense until all of it is typed.
        forget: mind no longer what a document said that no element can.
    """

    read: Callable[[], Any]
    write: Callable[[Any], None]
    handles: tuple[Any, ...]
    idle: Callable[[], tuple[Any, ...]] = tuple
    typed: bool = False
    forget: Callable[[], None] = lambda: None


class Form:
    """The parameters of one operation.

    Args:
        gui: of viser.
        kind: the operation.
        selections: names of files that ``by`` may be, by what people call them.
        changed: told when a person changed something.
    """

    def __init__(
        self,
        gui: Any,
        kind: type[Strict],
        selections: Callable[[], dict[str, str]],
        changed: Callable[[Any], None],
    ) -> None:
        self.kind = kind
        self._selections = selections
        self._visible = True
        self._fields: dict[str, Field] = {}
        infos = {name: info for name, info in kind.model_fields.items() if name not in LEFT_OUT}
        # What is inserted is chosen in a scene: that comes before everything else.
        for name in sorted(infos, key=lambda name: name != "scene"):
            self._fields[name] = self._field(gui, name, infos[name])

        def updated(event: Any) -> None:
            self._hide_idle()
            changed(event)

        for field in self._fields.values():
            for handle in field.handles:
                handle.on_update(updated)
        self._hide_idle()

    @property
    def visible(self) -> bool:
        """Whether it is shown, but for what changes nothing as it is set now."""
        return self._visible

    @visible.setter
    def visible(self, value: bool) -> None:
        self._visible = value
        self._hide_idle()

    def _hide_idle(self) -> None:
        for field in self._fields.values():
            idle = {id(handle) for handle in field.idle()}
            for handle in field.handles:
                put(handle, visible=self._visible and id(handle) not in idle)

    def refresh(self) -> None:
        """Offer the selections that there are now."""
        for name in ("by",):
            if name in self._fields:
                offer(self._fields[name].handles[0], self._selections())

    def forget(self) -> None:
        """No step is worked on: what the elements show is all there is."""
        for field in self._fields.values():
            field.forget()

    def said(self) -> dict[str, Any]:
        """What is set, for `operation`.

        Raises:
            DffError: something of it says nothing.
        """
        return {name: field.read() for name, field in self._fields.items()}

    def operation(self, said: dict[str, Any] | None = None) -> Any:
        """What is set, checked.

        Args:
            said: what was set before; None: what is now.

        Raises:
            DffError: it makes no operation.
        """
        said = self.said() if said is None else said
        data = {name: self._meant(value) for name, value in said.items() if value is not None}
        try:
            return self.kind.model_validate(data)
        except ValidationError as error:
            raise DffError(explain(error, data, self.kind).sentence) from error

    def show(self, operation: Strict, typed: bool = True) -> None:
        """Set the elements to an operation of this kind.

        Args:
            operation: in force.
            typed: also texts, which a person may be about to correct.
        """
        for name, field in self._fields.items():
            if typed or not field.typed:
                field.write(getattr(operation, name))
        self._hide_idle()

    def _meant(self, value: Any) -> Any:
        if not isinstance(value, KeptName):
            return value
        files = self._selections()
        if value not in files:
            raise DffError("keep a selection under a name first: it is what is put there")
        return FileSelection(file=files[value])

    def _field(self, gui: Any, name: str, info: FieldInfo) -> Field:
        label = name.replace("_", " ")
        start: Any = BEGINNINGS.get(name) if info.is_required() else info.default
        kind: Any = info.annotation
        if name == "color":
            return _colour(gui, label, start, optional=not info.is_required())
        if name == "by":
            return self._chooser(gui, self._fields["scene"].handles[0])
        if name == "pivot":
            return _pivot(gui, start, only_named=typing.get_origin(kind) is Literal)
        if name == "at":
            return _optional_point(gui, label)
        if name in ("translate", "rotate"):
            step = 0.01 if name == "translate" else 1.0
            return _simple(gui.add_vector3(label, initial_value=start, step=step), _three)
        if name in ("all", "red", "green", "blue"):
            return _curve(gui, label)
        if name == "scene":
            return _scene(gui, info.is_required())
        if typing.get_origin(kind) is Literal:
            return _simple(gui.add_dropdown(label, typing.get_args(kind), initial_value=start))
        if kind is bool:
            return _simple(gui.add_checkbox(label, initial_value=bool(start)))
        low, high = _shown_range(name, info)
        if kind is int:
            most = min(int(high), 20)
            slider = gui.add_slider(label, min=int(low), max=most, step=1, initial_value=int(start))
            return _simple(slider, int)
        step = 1.0 if high - low > 50 else 0.01
        slider = gui.add_slider(label, min=low, max=high, step=step, initial_value=float(start))
        return _simple(slider, float)

    def _chooser(self, gui: Any, scene: Any) -> Field:
        """What is put there: a kept selection, or words where another scene is named."""
        handle = gui.add_dropdown("put there", tuple(self._selections()) or (NOTHING,))
        words = gui.add_text("select there", initial_value="", hint="words, in that scene")
        # What a document says and no element can: it stays until a person says something else.
        shown: list[Any] = []

        def said() -> tuple[Any, ...]:
            return scene.value.strip(), handle.value, words.value

        def read() -> Any:
            if shown and shown[1:] == [said()]:
                return shown[0]
            if scene.value.strip():
                phrases = split_phrases(words.value)
                if not phrases:
                    raise DffError("say in words what of the other scene is to be put there")
                return TextSelection(text=phrases, softness=TEXT_SOFTNESS)
            return KeptName(handle.value)

        def write(value: Any) -> None:
            names = [n for n, f in self._selections().items() if f == getattr(value, "file", None)]
            if names and handle.value not in names:
                handle.value = names[0]
            words.value = ", ".join(getattr(value, "text", ()))
            shown[:] = [value, said()]

        def idle() -> tuple[Any, ...]:
            return (handle,) if scene.value.strip() else (words,)

        return Field(read, write, (handle, words), idle, typed=True, forget=shown.clear)


def _shown_range(name: str, info: FieldInfo) -> tuple[float, float]:
    """What a slider reaches, within what the operation takes."""
    low, high = _bounds(info)
    least, most = RANGES.get(name, (low, high))
    return max(low, least), min(high, most)


def _bounds(info: FieldInfo) -> tuple[float, float]:
    found = {"ge": 0.0, "le": 1.0}
    for each in info.metadata:
        for name in found:
            found[name] = getattr(each, name, found[name])
    return found["ge"], found["le"]


def _scene(gui: Any, required: bool) -> Field:
    hint = "config.yml below a trusted folder" + ("" if required else "; empty: this scene")
    handle = gui.add_text("scene", initial_value="", hint=hint)

    def read(value: str) -> str | None:
        if required and not value.strip():
            raise DffError(
                "say which scene: the path of its config.yml, below a folder that dff edit was "
                "told to --trust"
            )
        return value.strip() or None

    return dataclasses.replace(_simple(handle, read), typed=True)


def _simple(handle: Any, read: Callable[[Any], Any] = lambda value: value) -> Field:
    def write(value: Any) -> None:
        handle.value = "" if value is None else value

    return Field(lambda: read(handle.value), write, (handle,))


def _three(value: Sequence[float]) -> tuple[float, ...]:
    return tuple(float(each) for each in value)


def _colour(gui: Any, label: str, start: Any, optional: bool) -> Field:
    first = tuple(round(255 * each) for each in (start or (1.0, 1.0, 1.0)))
    handle = gui.add_rgb("colour" if label == "color" else label, initial_value=first)
    clear = gui.add_checkbox("transparent", initial_value=start is None) if optional else None

    def read() -> Any:
        if clear is not None and clear.value:
            return None
        return tuple(each / 255 for each in handle.value)

    def write(value: Any) -> None:
        if clear is not None:
            clear.value = value is None
        if value is not None:
            handle.value = tuple(round(255 * each) for each in value)

    if clear is None:
        return Field(read, write, (handle,))
    return Field(read, write, (clear, handle), lambda: (handle,) if clear.value else ())


def _pivot(gui: Any, start: str, only_named: bool) -> Field:
    names = ("center", "base") if only_named else ("center", "base", "point")
    handle = gui.add_dropdown("pivot", names, initial_value=start)
    if only_named:
        return _simple(handle)
    point = gui.add_vector3("pivot point", initial_value=(0.0, 0.0, 0.0), step=0.01)

    def read() -> Any:
        return _three(point.value) if handle.value == "point" else handle.value

    def write(value: Any) -> None:
        handle.value = value if isinstance(value, str) else "point"
        if not isinstance(value, str):
            point.value = _three(value)

    return Field(read, write, (handle, point), lambda: () if handle.value == "point" else (point,))


def _optional_point(gui: Any, label: str) -> Field:
    given = gui.add_checkbox(f"put {label} a point", initial_value=False)
    point = gui.add_vector3("point", initial_value=(0.0, 0.0, 0.0), step=0.01)

    def write(value: Any) -> None:
        given.value = value is not None
        if value is not None:
            point.value = _three(value)

    def read() -> Any:
        return _three(point.value) if given.value else None

    return Field(read, write, (given, point), lambda: () if given.value else (point,))


def _curve(gui: Any, label: str) -> Field:
    name = "all channels" if label == "all" else label
    start = "0,0 0.5,0.7 1,1" if label == "all" else ""
    handle = gui.add_text(
        f"curve of {name}", initial_value=start, hint="points x,y from 0,0 to 1,1"
    )

    def read() -> Any:
        text = handle.value.strip()
        if not text:
            return None
        try:
            return tuple(tuple(float(n) for n in point.split(",")) for point in text.split())
        except ValueError as error:
            raise DffError(f"a curve is written 0,0 0.5,0.7 1,1, not {text[:40]!r}") from error

    def write(value: Any) -> None:
        handle.value = "" if value is None else " ".join(f"{x:g},{y:g}" for x, y in value)

    return Field(read, write, (handle,), typed=True)
