"""The editor as a person meets it: a server, its panels, and a view for each window."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import viser

from dff.editor.compat import (
    Click,
    Pointer,
    Rectangle,
    Tool,
    add_shortcuts,
    notify,
    send_file,
    serve,
)
from dff.editor.elements import put
from dff.editor.gizmo import Gizmo
from dff.editor.latest import InOrder, said
from dff.editor.memory import share_freed_memory
from dff.editor.painting import Look
from dff.editor.panels.edit import EditPanel
from dff.editor.panels.keep import KeepPanel
from dff.editor.panels.look import LookPanel
from dff.editor.panels.path import PathPanel
from dff.editor.panels.recovery import RecoveryPanel
from dff.editor.panels.select import SelectPanel
from dff.editor.panels.steps import StepsPanel
from dff.editor.session import Session
from dff.editor.tasks import Progress, Tasks
from dff.editor.window import Window
from dff.errors import DffError

Client = viser.ClientHandle
Read = TypeVar("Read")


class Editor:
    """Everything in it goes through a `Session`, in the order in which it was asked for.

    Args:
        session: what is worked on.
        host, port: where to listen; the next free port is taken.
    """

    def __init__(self, session: Session, host: str = "127.0.0.1", port: int = 7007) -> None:
        self.session = session
        session.notice = lambda line: self.say(line, "notice")
        self.look = Look()
        self.windows: dict[int, Window] = {}
        self._lock = threading.Lock()
        self.actions = InOrder(
            lambda line: self.say(line, "error"), lambda busy: put(self._working, visible=busy)
        )
        self.tasks = Tasks(
            lambda progress: self.actions.do(lambda: self._progressed(progress)),
            lambda line, wrong: self.actions.do(lambda: self._task_ended(line, wrong)),
        )
        self.server = serve(host, port, "dff")
        self.server.scene.set_up_direction("+z")
        gui: Any = self.server.gui
        gui.configure_theme(
            control_layout="collapsible",
            control_width="large",
            dark_mode=True,
            show_logo=False,
            show_share_button=False,
        )
        self._top = gui.add_markdown("")
        self._working = gui.add_markdown("*Working ...*", visible=False)
        self._undo = gui.add_button("Undo", icon=viser.Icon.ARROW_BACK_UP)
        self._redo = gui.add_button("Redo", icon=viser.Icon.ARROW_FORWARD_UP)
        self.on_click(self._undo, lambda: self.session.undo())
        self.on_click(self._redo, lambda: self.session.redo())
        self._task_label = gui.add_markdown("", visible=False)
        self._task_bar = gui.add_progress_bar(0.0, visible=False)
        self._cancel = gui.add_button("Cancel", visible=False, color="red")
        self._cancel.on_click(self._cancelled)
        self.pointer = Pointer(self.server, self._clicked, self._framed, self._disarmed)
        self.gizmo = Gizmo(self)
        self.recovery_panel = RecoveryPanel(self)
        tabs = gui.add_tab_group()
        with tabs.add_tab("Look"):
            self.look_panel = LookPanel(self)
        with tabs.add_tab("Select"):
            self.select_panel = SelectPanel(self)
        with tabs.add_tab("Edit"):
            self.edit_panel = EditPanel(self)
        with tabs.add_tab("Steps"):
            self.steps_panel = StepsPanel(self)
        with tabs.add_tab("Path"):
            self.path_panel = PathPanel(self)
        with tabs.add_tab("Keep"):
            self.keep_panel = KeepPanel(self)
        self._panels = (
            self.recovery_panel,
            self.look_panel,
            self.select_panel,
            self.edit_panel,
            self.steps_panel,
            self.path_panel,
            self.keep_panel,
        )
        self.shortcuts = add_shortcuts(
            gui,
            [
                ("Undo", "Z", "cmd/ctrl", lambda event: self.do(self.session.undo, event.client)),
                (
                    "Redo",
                    "Z",
                    "cmd/ctrl+shift",
                    lambda event: self.do(self.session.redo, event.client),
                ),
                (
                    "Save",
                    "S",
                    "cmd/ctrl",
                    lambda event: self.do(self.keep_panel.save, event.client),
                ),
            ],
        )
        self.server.on_client_connect(self._connected)
        self.server.on_client_disconnect(self._disconnected)
        self.actions.do(self.refresh)

    @property
    def url(self) -> str:
        """Where a browser finds it."""
        return f"http://{self.server.get_host()}:{self.server.get_port()}"

    @cached_property
    def words(self) -> tuple[str, ...]:
        """Names of things that the scene's teacher knows, where it knows only some."""
        try:
            return self.session.scene.teacher.known_names
        except DffError:
            return ()

    def stop(self) -> None:
        """End the server and its threads."""
        self.tasks.cancel()
        self.actions.stop()
        for window in list(self.windows.values()):
            window.stop()
        self.server.stop()

    # -- doing

    def do(self, action: Callable[[], object], client: Client | None = None) -> None:
        """Do something when everything before it is done, and show what came of it.

        Args:
            action: a `DffError` of it is shown to the client, or without one to all.
            client: whose action it is.
        """

        def done() -> None:
            try:
                action()
            except Exception as error:
                self.say(said(error), "error", client)
            self.refresh()

        self.actions.do(done)

    def on_click(self, button: Any, action: Callable[[], object]) -> None:
        """Do something when a button is pressed."""
        button.on_click(lambda event: self.do(action, event.client))

    def on_press(
        self, button: Any, read: Callable[[], Read], action: Callable[[Read, Client], object]
    ) -> None:
        """Do something with what fields say in the moment in which a button is pressed.

        Args:
            button: of viser.
            read: reads the fields; whatever waits to be done does not matter to it.
            action: is given what it read, and whose window it was.
        """

        def pressed(event: Any) -> None:
            try:
                found = read()
            except DffError as error:
                self.say(str(error), "error", event.client)
                return
            self.do(lambda: action(found, event.client), event.client)

        button.on_click(pressed)

    def on_change(
        self,
        handle: Any,
        action: Callable[..., object],
        about: Callable[[], tuple[Any, ...]] = tuple,
    ) -> None:
        """Do something with an element's value when a person changes it, not the program.

        While a slider is dragged, values that wait to be acted on give way to later ones that are
        about the same.

        Args:
            handle: of viser.
            action: is given the value, and what it is about.
            about: reads what the value is about, in the moment of the change.
        """
        waiting: list[tuple[Any, ...]] = []

        def changed(event: Any) -> None:
            if event.client is None:
                return
            value, subject = handle.value, about()
            waiting.append(subject)

            def act() -> None:
                waiting.remove(subject)
                if subject not in waiting:
                    action(value, *subject)

            self.do(act, event.client)

        handle.on_update(changed)

    def say(self, line: str, kind: Any = "notice", client: Client | None = None) -> None:
        """Show one line in a window, or in all."""
        titles = {"error": "That did not work", "notice": "Note", "done": "Done"}
        clients = [client] if client is not None else list(self.server.get_clients().values())
        for each in clients:
            notify(each, titles[kind], line, kind)

    def send(self, client: Client, name: str, content: bytes) -> None:
        """Let a person's browser save a file, unless that window was closed meanwhile."""
        if client.client_id in self.windows:
            send_file(client, name, content)

    # -- showing

    def set_look(self, **changes: Any) -> None:
        """Look at the work another way."""
        self.look = dataclasses.replace(self.look, **changes)

    def refresh(self) -> None:
        """Bring panels and pictures to what the session is now."""
        stack = self.session.stack
        mark = " (not saved)" if self.session.unsaved else ""
        count = len(stack.document.steps)
        name = self.session.path.name
        put(self._top, content=f"**{name}**{mark}, {count} step{'s' * (count != 1)}")
        put(self._undo, disabled=stack.undoable is None)
        put(self._redo, disabled=stack.redoable is None)
        self.steps_panel.follow()
        for panel in self._panels:
            panel.refresh()
        self.gizmo.refresh()
        self.repaint()

    def repaint(self) -> None:
        """Paint all windows anew."""
        with self._lock:
            windows = list(self.windows.values())
        for window in windows:
            window.ask()

    def _cancelled(self, event: Any) -> None:
        self.tasks.cancel()
        if event.client is not None:
            self.end_preview(event.client)

    def _progressed(self, progress: Progress) -> None:
        busy = bool(progress.label)
        for handle in (self._task_label, self._task_bar, self._cancel):
            put(handle, visible=busy)
        if busy:
            put(self._task_label, content=f"{progress.label}: {progress.share:.0%}")
            put(self._task_bar, value=100 * progress.share)

    def _task_ended(self, line: str, wrong: bool) -> None:
        self.say(line, "error" if wrong else "done")
        self.refresh()

    # -- windows

    def _connected(self, client: Client) -> None:
        window = Window(self, client)
        with self._lock:
            self.windows[client.client_id] = window
        self.actions.do(window.begin)

    def _disconnected(self, client: Client) -> None:
        with self._lock:
            window = self.windows.pop(client.client_id, None)
        if window is not None:
            window.stop()

    # -- the mouse in the picture

    def use(self, tool: Tool) -> None:
        """Take up a tool."""
        self.pointer.use(tool)

    def _disarmed(self) -> None:
        self.do(self.select_panel.tool_put_down)

    def _clicked(self, click: Click) -> None:
        def pick() -> None:
            wanted = not (click.negative or self.select_panel.negative)
            spot = self.window_of(click.client).spot(click.x, click.y)
            self.session.click(spot, wanted, self.select_panel.alike, self.select_panel.teacher)
            self.show_selection()

        self.do(pick, click.client)

    def _framed(self, rectangle: Rectangle) -> None:
        def frame() -> None:
            asked = self.window_of(rectangle.client).framed(
                rectangle.low, rectangle.high, self.select_panel.teacher
            )
            self.session.choose(asked)
            self.show_selection()

        self.do(frame, rectangle.client)

    def window_of(self, client: Client) -> Window:
        """A client's window.

        Raises:
            DffError: it was closed.
        """
        with self._lock:
            window = self.windows.get(client.client_id)
        if window is None:
            raise DffError("this window was closed")
        return window

    def end_preview(self, client: Client) -> bool:
        """End the flight that a person looks at; whether there was one."""
        with self._lock:
            window = self.windows.get(client.client_id)
        return window is not None and window.preview.stop()

    def show_selection(self) -> None:
        """Look at what is selected, if one looks at plain colours."""
        if self.look.output == "colour":
            self.set_look(output="selection")

    def show_result(self) -> None:
        """Look at plain colours again, after something was done to what was selected."""
        if self.look.output in ("selection", "heatmap"):
            self.set_look(output="colour")


def run_editor(session: Session, host: str, port: int, ready: Callable[[str], None]) -> None:
    """Run until interrupted.

    Args:
        session: what is worked on.
        host, port: where to listen.
        ready: told the address once it can be opened.

    Raises:
        DffError: no port is free there.
    """
    share_freed_memory()
    editor = Editor(session, host, port)
    ready(editor.url)
    try:
        threading.Event().wait()
    finally:
        editor.stop()


def default_folder(config: Path) -> Path:
    """Where the edits of a run are kept."""
    return config.parent / "edits"
