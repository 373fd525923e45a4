"""Doing something to what is selected, and changing what a step does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dff.editor.asking import TEXT_SOFTNESS
from dff.editor.elements import put
from dff.editor.forms import Form, kind_of, kinds
from dff.editor.panels.repaint import RepaintPanel
from dff.edits.document import EditStep
from dff.edits.operations import Insert
from dff.edits.selections import TextSelection
from dff.errors import DffError
from dff.query.text import split_phrases

if TYPE_CHECKING:
    from dff.editor.app import Editor

FIRST = "delete"


class EditPanel:
    """One form for each operation, of which one is shown.

    A step that is worked on follows its form while it is changed; without one, the form says what
    the next step will do.

    Args:
        editor: whose.
    """

    def __init__(self, editor: Editor) -> None:
        self._editor = editor
        gui: Any = editor.server.gui
        self._kinds = kinds()
        self._which = gui.add_dropdown("Do", tuple(self._kinds), initial_value=FIRST)
        self._words = gui.add_text(
            "select there", initial_value="", visible=False, hint="words, in that scene"
        )
        self._forms = {
            name: Form(gui, kind, self._kept, self._changed) for name, kind in self._kinds.items()
        }
        self._apply = gui.add_button("Apply to the selection", color="blue")
        self._now = gui.add_markdown("")
        self._done = gui.add_button("Done with this step", visible=False)
        editor.on_change(self._which, self._choose)
        editor.on_click(self._apply, self._do)
        editor.on_click(self._done, lambda: editor.steps_panel.work_on(None))
        with gui.add_folder("Repaint by text", expand_by_default=False):
            self._repaint = RepaintPanel(editor)
        self._show_form(FIRST)

    def refresh(self) -> None:
        """Show which step is worked on."""
        for form in self._forms.values():
            form.refresh()
        step = self._editor.steps_panel.current
        text = "" if step is None else f"Changing **step {step + 1}**"
        put(self._now, content=text)
        put(self._done, visible=step is not None)
        put(self._apply, label="Apply to the selection" if step is None else "Apply as a new step")

    def show(self, index: int) -> None:
        """Set the form to what a step does."""
        operation = self._editor.session.document.steps[index].operation
        kind = kind_of(operation)
        if kind is None:
            return
        if self._which.value != kind:
            self._which.value = kind
            self._show_form(kind)
        self._forms[kind].show(operation)

    def _choose(self, name: str) -> None:
        self._editor.steps_panel.work_on(None)
        self._show_form(name)

    def _show_form(self, name: str) -> None:
        for other, form in self._forms.items():
            form.visible = other == name
        self._words.visible = self._kinds[name] is Insert

    def _kept(self) -> dict[str, str]:
        return self._editor.session.kept.files

    def _do(self) -> None:
        session = self._editor.session
        operation = self._forms[self._which.value].operation()
        if isinstance(operation, Insert):
            words = split_phrases(self._words.value)
            if not words:
                raise DffError("say in words what of the other scene is to be inserted")
            selection = TextSelection(text=words, softness=TEXT_SOFTNESS)
            step = EditStep(selection=selection, operation=operation)
            session.change(lambda stack: stack.push(step))
            index = len(session.document.steps) - 1
        else:
            index = session.apply(operation)
        self._editor.show_result()
        self._editor.steps_panel.work_on(index)

    def _changed(self, event: Any) -> None:
        """A person changed a parameter of the step that is worked on."""
        if event.client is None:
            return

        def follow() -> None:
            index = self._editor.steps_panel.current
            if index is None:
                return
            session = self._editor.session
            operation = self._forms[self._which.value].operation()
            before = session.document.steps[index].operation
            if type(operation) is type(before) and operation != before:
                session.update(index, operation, amend=True)

        self._editor.do(follow, event.client)
