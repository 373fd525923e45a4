"""One file from the Hugging Face cache, or fetched into it; quick and short where it cannot be."""

from __future__ import annotations

import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path

from huggingface_hub import constants, hf_hub_download, try_to_load_from_cache
from huggingface_hub.utils import EntryNotFoundError, LocalEntryNotFoundError

from dff.errors import DffError

SECONDS = 5.0


def hub_file(repository: str, names: Sequence[str], what: str) -> Path:
    """The first file of these names that a repository has.

    What is in the cache is taken without asking the network. The hub's own client tries again and
    again for half a minute, with a line for each, where there is no network: so that is asked once
    before.

    Args:
        repository: on the hub, as ``owner/name``.
        names: file names, the preferred one first.
        what: what it holds, for the error message.

    Raises:
        DffError: one line that names the file wanted and where it may be put.
    """
    for name in names:
        if (cached := cached_file(repository, name)) is not None:
            return cached
    reason: Exception | None = None
    if is_reachable():
        for name in names:
            try:
                return Path(hf_hub_download(repository, name, etag_timeout=SECONDS))
            except EntryNotFoundError as error:
                reason = error
                if isinstance(error, LocalEntryNotFoundError):
                    break
            except Exception as error:
                # Whatever the client, the network and the disk raise: there is no file.
                reason = error
                break
    because = "" if reason is None else f" ({one_line(reason)})"
    raise DffError(
        f"{what}: not on this machine, and it cannot be fetched{because}; get {names[0]} of "
        f"{constants.ENDPOINT}/{repository} and give it by --teacher.checkpoint "
        "(in ns-train --pipeline.teacher.checkpoint), or put it into the Hugging Face cache, "
        f"{constants.HF_HUB_CACHE} (HF_HOME)"
    ) from reason


def cached_file(repository: str, name: str) -> Path | None:
    """Where a file of a repository lies in the cache, if it does; the network is not asked."""
    found = try_to_load_from_cache(repository, name)
    return Path(found) if isinstance(found, str) else None


def is_reachable() -> bool:
    """Whether the hub answers, through the proxy of the environment if any; not if told offline."""
    if constants.HF_HUB_OFFLINE:
        return False
    try:
        request = urllib.request.Request(constants.ENDPOINT, method="HEAD")
        with urllib.request.urlopen(request, timeout=SECONDS):
            return True
    except urllib.error.HTTPError:
        return True  # it answered
    except (OSError, ValueError):
        return False


def one_line(error: BaseException) -> str:
    """The beginning of what an error says, in one line."""
    return " ".join(str(error).split())[:150]
