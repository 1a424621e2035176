"""A child process that ends with its owner, also when the owner is killed."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO, Final

# Ends the child and its directory when the owner's end of the pipe closes. Not PR_SET_PDEATHSIG:
# that one fires when the starting thread ends.
_GUARD: Final = 'read -r _; kill -9 "$1"; rm -rf "$2"'


class GuardedProcess:
    """A command that runs in a directory; directory and process do not outlive the owner."""

    def __init__(self, command: Sequence[str | Path], directory: Path, output: BinaryIO) -> None:
        self.child = subprocess.Popen(  # noqa: S603
            command,
            cwd=directory,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
        try:
            self._guard = subprocess.Popen(  # noqa: S603
                ["/bin/sh", "-c", _GUARD, "guard", str(self.child.pid), str(directory)],
                stdin=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        except BaseException:
            self._kill()
            raise

    @property
    def lives(self) -> bool:
        """Whether the child has not ended."""
        return self.child.poll() is None

    def end(self) -> None:
        """Kill the child if it still lives, and dismiss its guard; the directory stays."""
        self._guard.kill()
        if self._guard.stdin is not None:
            self._guard.stdin.close()
        self._guard.wait()
        self._kill()

    def _kill(self) -> None:
        self.child.kill()
        self.child.wait()
