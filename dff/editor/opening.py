"""Other scenes that steps draw on: opened beside the editing, because that takes long."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from dff.document_sources import as_source
from dff.edits.document import EditStep
from dff.edits.folder import trusted_file
from dff.edits.operations import Replace

if TYPE_CHECKING:
    from dff.editor.app import Editor

OPENING = "Opening the other scene"


def opens_first(editor: Editor, step: EditStep, client: Any, then: Callable[[], object]) -> bool:
    """Open the scene that a step draws on, where it is not open yet.

    Args:
        editor: whose.
        step: to be done.
        client: whose wish it is.
        then: done as soon as the scene is open.

    Returns:
        Whether that is done now; otherwise the step can be, which opens it where it has to.

    Raises:
        DffError: the scene is none that may be opened, or one is being opened.
    """
    session, name = editor.session, getattr(step.operation, "scene", None)
    if name is None:
        return False
    path = trusted_file(session.folder, name, session.trusted)
    others = session.scene.others
    # Beside other work it has to be opened at once: that may take far longer.
    if others.has(path) or editor.tasks.doing not in ("", OPENING):
        return False

    def work(progress: Callable[[float], None]) -> str:
        source = as_source(others.open(path), session.folder)
        progress(0.5)
        # What is asked of it first takes as long: its surface is baked, and its teacher loaded.
        by = step.operation.by if isinstance(step.operation, Replace) else step.selection
        source.answer(by)
        progress(1.0)
        editor.do(then, client)
        return "the other scene is open"

    editor.tasks.start(OPENING, work)
    return True
