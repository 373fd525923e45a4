"""The one exception that bad input from outside raises."""

from __future__ import annotations

import sys
from types import TracebackType


class DffError(Exception):
    """Something the user can mend; the message is one line that says what and how.

    The command line prints it as ``error: MESSAGE`` and exits with status 1; the editor shows it as
    a notification.
    """


class UsageError(DffError):
    """Options of a command that make no sense together."""


def notice_in_one_line(line: str) -> None:
    """Tell the user something that stops nothing."""
    print(f"notice: {line}", file=sys.stderr)


def report_in_one_line() -> None:
    """Make an uncaught `DffError` end the program with one line and status 1, no traceback.

    For nerfstudio's own commands, whose main function is not ours; other exceptions keep the hook
    that was there.
    """
    before = sys.excepthook
    if getattr(before, "reports_dff_errors", False):
        return

    def hook(
        kind: type[BaseException], error: BaseException, traceback: TracebackType | None
    ) -> None:
        if isinstance(error, DffError):
            print(f"error: {error}", file=sys.stderr)
        else:
            before(kind, error, traceback)

    hook.reports_dff_errors = True
    sys.excepthook = hook
