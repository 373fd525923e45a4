"""Asking for things: by words, by clicks, by rectangles, by pictures, from a list."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from dff.editor.asking import Choice, ask_text
from dff.editor.elements import NOTHING, put
from dff.editor.panels.kept import KeptPanel
from dff.editor.panels.refine import RefinePanel
from dff.editor.panels.things import ThingsPanel
from dff.editor.sent_pictures import shrunk
from dff.errors import DffError
from dff.query.routing import PRODUCT
from dff.query.text import TextQuery, split_phrases

if TYPE_CHECKING:
    from dff.editor.app import Editor

TOOLS = ("orbit", "pick", "rectangle")
AUTOMATIC = "automatic"
MOST_PICTURE_BYTES = 50_000_000


class SelectPanel:
    """See the module's docstring.

    Args:
        editor: whose.
    """

    def __init__(self, editor: Editor) -> None:
        self._editor = editor
        gui: Any = editor.server.gui
        self._words = gui.add_text(
            "Words",
            initial_value="",
            hint="what to select; commas between several; then press Find",
        )
        self._not = gui.add_text(
            "But not", initial_value="", hint="what it is to be told apart from"
        )
        self._find = gui.add_button("Find", color="blue")
        editor.on_press(self._find, self._query, lambda query, _: self._ask_text(query))
        suggestions = editor.words
        self._suggested = gui.add_dropdown(
            "Suggestions", (NOTHING, *suggestions), visible=bool(suggestions)
        )
        editor.on_change(self._suggested, self._take)
        names = tuple(record.name for record in editor.session.scene.model.teacher_records)
        self._teacher = gui.add_dropdown(
            "Teacher",
            (AUTOMATIC, *names, PRODUCT),
            initial_value=AUTOMATIC,
            hint="whose features answer; product: all together, for clicks and pictures",
            visible=len(names) > 1,
        )
        self._tool = gui.add_dropdown("Mouse", TOOLS, initial_value="orbit")
        editor.on_change(self._tool, editor.use)
        self._negative = gui.add_checkbox(
            "Clicks say: not this", initial_value=False, hint="or hold shift while clicking"
        )
        self._alike = gui.add_checkbox("Everything that looks alike", initial_value=False)
        self._upload = gui.add_upload_button("By a picture...", mime_type="image/*")
        self._upload.on_upload(self._uploaded)
        self._clear = gui.add_button("Select nothing")
        editor.on_click(self._clear, editor.session.clear)
        self._now = gui.add_markdown("")
        with gui.add_folder("Refine"):
            self._refine = RefinePanel(editor)
        with gui.add_folder("Kept selections", expand_by_default=False):
            self._kept = KeptPanel(editor)
        with gui.add_folder("Things in the scene", expand_by_default=False):
            self._things = ThingsPanel(editor)

    @property
    def negative(self) -> bool:
        """Whether clicks are on what is not wanted."""
        return bool(self._negative.value)

    @property
    def alike(self) -> bool:
        """Whether a click selects everything that looks like it."""
        return bool(self._alike.value)

    @property
    def teacher(self) -> str | None:
        """Whose features answer; None: the one for the kind of question."""
        return None if self._teacher.value == AUTOMATIC else self._teacher.value

    def tool_put_down(self) -> None:
        """The mouse orbits again."""
        self._tool.value = "orbit"

    def refresh(self) -> None:
        """Show what is selected now."""
        session = self._editor.session
        if session.brought is not None:
            text = f"Selected: what step {session.brought + 1} brought"
        elif session.choice is None:
            text = "Nothing is selected."
        else:
            choice = session.choice
            count = choice.selection.count
            text = f"Selected: **{_plain(choice.asked.label)}**, {count:,} voxels"
            if count == 0:
                text += f" - {_why_empty(choice)}"
        put(self._now, content=text)
        for panel in (self._refine, self._kept, self._things):
            panel.refresh()

    def _query(self) -> TextQuery:
        query = TextQuery(split_phrases(self._words.value), split_phrases(self._not.value))
        return dataclasses.replace(query, teacher=self.teacher)

    def _ask_text(self, query: TextQuery) -> None:
        self._editor.session.choose(ask_text(self._editor.session.scene, query))
        self._editor.show_selection()

    def _take(self, word: str) -> None:
        if word != NOTHING:
            self._words.value = word
            self._ask_text(self._query())

    def _uploaded(self, event: Any) -> None:
        """Select by a picture; it is made small here, so that nothing else waits for that."""
        file, teacher = self._upload.value, self.teacher
        try:
            if len(file.content) > MOST_PICTURE_BYTES:
                raise DffError(f"{file.name[:60]} is over 50 MB: send a smaller picture")
            name, content = shrunk(file.name, file.content)
        except DffError as error:
            self._editor.say(str(error), "error", event.client)
            return

        def ask() -> None:
            self._editor.session.choose_picture(name, content, teacher)
            self._editor.show_selection()

        self._editor.do(ask, event.client)


def _why_empty(choice: Choice) -> str:
    if choice.asked.selection.count:
        return "refining left nothing of it"
    return "nothing is left of it" if choice.asked.at is None else "nothing reaches the threshold"


def _plain(text: str) -> str:
    return "".join(char for char in text if char not in "*_`[]<>#|")[:80]
