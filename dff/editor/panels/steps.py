"""The steps of the document, as a list that can be put in order."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dff.editor.elements import NOTHING, put
from dff.editor.forms import kind_of
from dff.edits.document import EditStep
from dff.edits.stack import EditStack, followed
from dff.errors import DffError

if TYPE_CHECKING:
    from dff.editor.app import Editor

# Of a list that a person can still take in.
MOST_LISTED = 200


class StepsPanel:
    """See the module's docstring.

    Args:
        editor: whose.

    Attributes:
        current: index of the step that is worked on; None: none is.
    """

    def __init__(self, editor: Editor) -> None:
        self._editor = editor
        self.current: int | None = None
        # All of them when somebody looked last: which one is worked on is known from these.
        self._steps: tuple[EditStep, ...] = ()
        gui: Any = editor.server.gui
        self._list = gui.add_markdown("")
        self._which = gui.add_dropdown("Step", (NOTHING,))
        self._enabled = gui.add_checkbox("Switched on", initial_value=True)
        self._name = gui.add_text("Its name", initial_value="")
        self._rename = gui.add_button("Rename")
        self._order = gui.add_button_group("Order", ("up", "down"))
        self._brought = gui.add_button("Select what it brought")
        self._remove = gui.add_button("Remove", color="red")
        editor.on_change(self._which, self._choose)
        editor.on_change(self._enabled, self._switch)
        editor.on_press(self._rename, lambda: self._name.value, lambda name, _: self._call(name))
        editor.on_press(self._order, lambda: self._order.value, lambda way, _: self._move(way))
        editor.on_click(self._brought, self._select_brought)
        editor.on_click(self._remove, lambda: self._do(EditStack.remove))

    def work_on(self, index: int | None) -> None:
        """Make a step the one that is worked on."""
        self.current, self._steps = index, self._editor.session.document.steps
        if index is not None:
            self._editor.edit_panel.show(index)

    def follow(self) -> None:
        """Go on with the same step, whatever was done since; with none where it is gone."""
        steps = self._editor.session.document.steps
        if self.current is not None:
            self.current = followed(self._steps, self.current, steps)
        self._steps = steps

    def refresh(self) -> None:
        """Show the steps that there are now."""
        steps = self._editor.session.document.steps
        labels = [label_of(number, step) for number, step in enumerate(steps[:MOST_LISTED], 1)]
        content = "\n".join(
            f"{'&nbsp;&nbsp;' if number - 1 != self.current else '**>** '}{each}  "
            for number, each in enumerate(map(_escaped, labels), 1)
        )
        if len(steps) > MOST_LISTED:
            content += f"\n... and {len(steps) - MOST_LISTED} more"
        content = content or "No steps yet: select something, then *Edit*."
        put(self._list, content=content)
        options = (NOTHING, *labels)
        number = 0 if self.current is None else min(self.current + 1, len(labels))
        put(self._which, options=options)
        put(self._which, value=options[number])
        step = None if self.current is None else steps[self.current]
        for handle in (self._enabled, self._rename, self._brought, self._remove):
            put(handle, disabled=step is None)
        # viser can disable no group of buttons.
        put(self._order, visible=step is not None)
        if step is not None:
            put(self._enabled, value=step.enabled)
        name = "" if step is None else step.name or ""
        if self._named_for != (self.current, name):
            self._named_for = (self.current, name)
            self._name.value = name

    _named_for: tuple[int | None, str] | None = None

    def _choose(self, label: str) -> None:
        steps = self._editor.session.document.steps
        labels = [label_of(number, step) for number, step in enumerate(steps, 1)]
        self.work_on(labels.index(label) if label in labels else None)

    def _index(self) -> int:
        if self.current is None:
            raise DffError("choose a step first")
        return self.current

    def _do(self, change: Any, *arguments: Any) -> None:
        index = self._index()
        self._editor.session.change(lambda stack: change(stack, index, *arguments))

    def _switch(self, enabled: bool) -> None:
        step = self._editor.session.document.steps[self._index()]
        if step.enabled != enabled:
            self._do(EditStack.toggle)

    def _call(self, name: str) -> None:
        self._do(EditStack.rename, name.strip() or None)

    def _select_brought(self) -> None:
        index = self._index()
        self._editor.session.select_brought(index)
        self._editor.say(
            f"what step {index + 1} brought is selected: apply a step to it in the tab Edit", "done"
        )

    def _move(self, way: str) -> None:
        index = self._index()
        to = index - 1 if way == "up" else index + 1
        if not 0 <= to < len(self._editor.session.document.steps):
            return
        self._do(EditStack.move, to)


def label_of(number: int, step: EditStep) -> str:
    """A step in a few words."""
    kind = kind_of(step.operation) or step.operation.type
    name = step.name or _selected(step)
    off = "" if step.enabled else " (off)"
    return f"{number}. {kind}: {name[:40]}{off}"


def _selected(step: EditStep) -> str:
    for key in ("text", "click", "patch", "file", "step"):
        value = getattr(step.selection, key, None)
        if value is not None:
            if key == "click":
                return f"{len(value)} click{'s' * (len(value) > 1)}"
            if key == "step":
                return f"what step {value} brought"
            return ", ".join(value) if isinstance(value, tuple) else str(value)
    return "selection"


def _escaped(text: str) -> str:
    return "".join(f"\\{char}" if char in "*_`[]<>#|{}" else char for char in text)
