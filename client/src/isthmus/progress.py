"""The progress of a job: a bar in terminals and notebooks, nothing in pipes."""

import sys
import time
from collections.abc import Callable
from html import escape
from typing import Any, TypeVar

Work = TypeVar("Work", bound=Any)
WIDTH = 24


def in_notebook() -> bool:
    """Return whether this process is the kernel of a notebook."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    return getattr(shell, "kernel", None) is not None


class Progress:
    """A bar for one job. It is on standard error, so that redirected results stay clean."""

    def __init__(self, title: str, enabled: bool = True) -> None:
        self._title, self._start = title, time.monotonic()
        self._draw: Callable[[str, float, str], None] | None = None
        if enabled and in_notebook():
            self._display: Any = sys.modules["IPython"].display.display({}, raw=True, display_id=True)
            self._draw = self._notebook
        elif enabled and sys.stderr.isatty():
            self._draw = self._terminal

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *_: object) -> None:
        if self._draw == self._terminal:
            sys.stderr.write("\n")

    def show(self, work: Work) -> Work:
        """Draw the state of a job and return the job."""
        if self._draw is not None:
            state = work.data.get("phase") or work.status
            eta, position = work.data.get("eta_seconds"), work.data.get("position")
            rest = f", {eta:.0f} s left" if eta and work.status == "running" else ""
            rest = f", position {position}" if position and work.status == "queued" else rest
            self._draw(f"{state}{rest}", work.progress, f"{time.monotonic() - self._start:.0f} s")
        return work

    def _terminal(self, state: str, fraction: float, seconds: str) -> None:
        bar = "█" * round(fraction * WIDTH)
        sys.stderr.write(f"\r{self._title} {bar:░<{WIDTH}} {fraction:4.0%} {seconds:>5}  {state:<40}")
        sys.stderr.flush()

    def _notebook(self, state: str, fraction: float, seconds: str) -> None:
        text = f"{escape(self._title)} {fraction:.0%} after {seconds}: {escape(state)}"
        html = f'<progress max="1" value="{fraction:.3f}"></progress> {text}'
        self._display.update({"text/html": html, "text/plain": text}, raw=True)
