"""``dff edit``: the editor, in the browser."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass
class Edit:
    """Open a scene in the browser: select things, change them, save, export, render.

    What is done is kept in the run's folder edits/ (or --folder), and kept at every change, so that
    nothing is lost when the program or the browser ends.
    """

    load_config: Path | None = None
    """The config.yml that training wrote; by default of the last dff run below --runs."""
    document: str | None = None
    """Name of the edit document, in the folder; by default the one that was worked on last, or
    edits.yml."""
    folder: Path | None = None
    """Where documents, selections and what is exported are kept; by default edits/ in the run."""
    runs: Path = Path("outputs")
    """Where the last run is looked for."""
    trust: tuple[Path, ...] = ()
    """Folders with other trained scenes that may be inserted: loading one can run code."""
    host: str = "127.0.0.1"
    """Who may connect: 127.0.0.1 is this machine alone; 0.0.0.0 is anybody who reaches it."""
    port: int = 7007
    """Where to listen; the next free port is taken."""
    device: str = "auto"
    """Where to render: auto (a GPU if there is one), cpu, cuda."""

    def run(self) -> None:
        """Load the scene and serve until interrupted."""
        from dff.data.sharding import choose_device
        from dff.editor.alone import alone_in
        from dff.editor.app import default_folder, run_editor
        from dff.editor.compat import free_port
        from dff.editor.session import Session
        from dff.editor.work_file import document_path, last_document
        from dff.edits.storage import load_document
        from dff.errors import notice_in_one_line
        from dff.runs import last_run
        from dff.scene import load, read_config

        config = self.load_config or last_run(self.runs)
        if config.is_dir():
            config = config / "config.yml"
        folder = self.folder or default_folder(config)
        # Before anything that takes long.
        free_port(self.host, self.port)
        document = self.document or last_document(folder)
        path = document_path(folder, document)
        if path.exists():
            load_document(path)
        # No folder is made beside a run that is not there.
        read_config(config)

        def ready(url: str) -> None:
            if not url.endswith(f":{self.port}"):
                notice_in_one_line(f"port {self.port} is taken: this is at the next free one")
            print(f"{config}\n{path}\nopen {url} in a browser; Ctrl-C ends the editor", flush=True)

        with alone_in(folder):
            scene = load(config, choose_device(self.device, 0))
            print("Looking at what the photos show (once for each training) ...", flush=True)
            print(f"The scene's surface has {len(scene.surface):,} voxels.", flush=True)
            session = Session(scene, folder, document, self.trust, notice_in_one_line)
            run_editor(session, self.host, self.port, ready)
