"""Doing something to what is selected, and changing what a step does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dff.editor.asking import TEXT_SOFTNESS
from dff.editor.elements import put
from dff.editor.forms import Form, kind_of, kinds
from dff.editor.opening import opens_first
from dff.editor.panels.repaint import RepaintPanel
from dff.edits.document import EditStep
from dff.edits.operations import Insert, Operation
from dff.edits.selections import MovedSelection, TextSelection
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
        # Two, as one could not change its label in viser 0.2.
        self._apply = gui.add_button("Apply to the selection", color="blue")
        self._apply_too = gui.add_button("Apply as a new step", color="blue", visible=False)
        self._now = gui.add_markdown("")
        self._done = gui.add_button("Done with this step", visible=False)
        editor.on_change(self._which, self._choose)
        for button in (self._apply, self._apply_too):
            editor.on_press(button, self._wishes, lambda wishes, client: self._do(*wishes, client))
        editor.on_click(self._done, lambda: editor.steps_panel.work_on(None))
        with gui.add_folder("Repaint by text", expand_by_default=False):
            self._repaint = RepaintPanel(editor)
        self._show_form(FIRST)
        # What a step did when the form was set to it or read last.
        self._known: Operation | None = None

    def refresh(self) -> None:
        """Show which step is worked on."""
        step = self._editor.steps_panel.current
        for form in self._forms.values():
            form.refresh()
            if step is None:
                form.forget()
        if step is not None and self._operation_of(step) != self._known:
            self.show(step)
        put(self._now, content="" if step is None else self._named(step))
        put(self._done, visible=step is not None)
        put(self._apply, visible=step is None)
        put(self._apply_too, visible=step is not None)

    def show(self, index: int) -> None:
        """Set the form to what a step does."""
        self._known = operation = self._operation_of(index)
        kind = kind_of(operation)
        if kind is None:
            return
        if self._which.value != kind:
            self._which.value = kind
            self._show_form(kind)
        self._forms[kind].show(operation)

    def _operation_of(self, index: int) -> Operation:
        return self._editor.session.document.steps[index].operation

    def _named(self, index: int) -> str:
        if kind_of(self._operation_of(index)) is None:
            return f"**Step {index + 1}** was trained: it has nothing to change here"
        return f"Changing **step {index + 1}**"

    def _choose(self, name: str) -> None:
        self._editor.steps_panel.work_on(None)
        self._show_form(name)

    def _show_form(self, name: str) -> None:
        for other, form in self._forms.items():
            form.visible = other == name
        self._words.visible = self._kinds[name] is Insert

    def _kept(self) -> dict[str, str]:
        return self._editor.session.kept.files

    def _wishes(self) -> tuple[Form, dict[str, Any], tuple[str, ...]]:
        form = self._forms[self._which.value]
        return form, form.said(), split_phrases(self._words.value)

    def _do(self, form: Form, said: dict[str, Any], words: tuple[str, ...], client: Any) -> None:
        operation = form.operation(said)
        if isinstance(operation, Insert):
            if not words:
                raise DffError("say in words what of the other scene is to be inserted")
            selection = TextSelection(text=words, softness=TEXT_SOFTNESS)
        else:
            selection = self._editor.session.described()
        step = EditStep(selection=selection, operation=operation)
        document = self._editor.session.document

        def push() -> None:
            moved = document is not self._editor.session.document
            if moved and isinstance(selection, MovedSelection):
                raise DffError("the steps were changed meanwhile: press Apply again")
            self._push(step)

        if not opens_first(self._editor, step, client, push):
            push()

    def _push(self, step: EditStep) -> None:
        index = self._editor.session.apply_to(step.selection, step.operation, step.name)
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
            session, form = self._editor.session, self._forms[self._which.value]
            step = session.document.steps[index]
            before = step.operation
            if type(before) is not form.kind:
                return
            try:
                operation = form.operation()
                if operation != before:
                    changed = step.model_copy(update={"operation": operation})
                    if opens_first(self._editor, changed, event.client, follow):
                        return
                    session.update(index, operation, amend=True)
                self._known = operation
            except DffError:
                form.show(before, typed=False)
                raise

        self._editor.do(follow, event.client)
