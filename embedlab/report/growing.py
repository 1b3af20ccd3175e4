"""A report that is written as its sections come, so that a run that is stopped leaves what it had."""

import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from embedlab.charts import model_colours
from embedlab.errors import UserError
from embedlab.progress import say
from embedlab.report import answering, overview, paper, sections
from embedlab.report.build import Head, Part, names_of, packing, part_of, settled, write
from embedlab.report.items import Items
from embedlab.report.sections import Section
from embedlab.runner import Outcome
from embedlab.wording import naming, speaking

# The page is written again at most so often, however many sections come.
EVERY_S = 20.0

# A run that is done sooner, from what is stored, writes its page once.
SOON_S = 2.0


class Report:
    """A page that grows by a section an analysis.

    Nothing is written before a section is there that says more than that its question does not apply: until
    then the page of an earlier run stays, for a page without an answer is worse than none.
    Then the page is written, 2 s after the run began or as soon as there is something to write, and again
    whenever something was added, at most every 20 s, with a line on top that says how much is still to come.
    A section is drawn once; writing only puts the drawn ones together. Where the page cannot be written
    meanwhile, the analyses go on, and the end tells.

    Parameters
    ----------
    path, head
        As ``build.write`` takes them.
    names
        The analyses to come, in their order.
    """

    def __init__(self, path: Path, head: Head, names: Sequence[str]) -> None:
        self.path, self.head, self.names = path, head, tuple(names)
        self.seconds = 0.0
        self._items = Items()
        self._parts: list[Part] = []
        self._extra: list[Part] = []
        self._lock = threading.Lock()
        self._timer: threading.Timer | None = None
        self._written = time.monotonic() + SOON_S - EVERY_S
        self._pending = False
        self._trouble = ""
        packing()

    @property
    def sound(self) -> bool:
        """Whether nothing of any section failed with a bug."""
        return all(part.sound for part in (*self._parts, *self._extra))

    def add(self, outcome: Outcome) -> None:
        """Draw the section of one analysis, and see that it comes into the page."""
        begun = time.monotonic()
        with self._lock:
            self.head = replace(self.head, focus=outcome.focus)
        # The timer's thread reads the same list of items.
        with self._lock:
            with model_colours(self.head.shown):
                part = part_of(sections.of_outcome(outcome), len(self._parts), self._items, outcome)
            self._parts.append(part)
            self._pending = True
        self._see_to_it()
        self.seconds += time.monotonic() - begun

    def append(self, section: Section) -> None:
        """Draw a section that no analysis made; it stands after those of the analyses."""
        with self._lock:
            self._extra.append(part_of(section, len(self.names) + len(self._extra), self._items))

    def finish(self, provenance: Mapping[str, Sequence[tuple[str, str]]]) -> Path:
        """Write the whole page.

        Raises
        ------
        UserError
            If it cannot be written.
        """
        self._stop()
        head = replace(self.head, provenance=provenance, unfinished="")
        with self._lock:
            with model_colours(head.shown):
                page = write(self.path, [*self._parts, *self._extra], head, self._items)
            # Whatever ends the writing before this, ``close`` writes what was done.
            self._pending = False
            return page

    def paper(self, folder: Path) -> Path:
        """Write the same as figures, tables and text for a paper.

        Raises
        ------
        UserError
            If it cannot be written.
        """
        parts = settled([*self._parts, *self._extra])
        outcomes = [part.outcome for part in parts if part.outcome]
        with model_colours(self.head.shown), naming(lambda: {self.head.title, *names_of(parts, self.head)}):
            answers = answering.of(outcomes, self.head.overrides)
            models = overview.of(outcomes, answers, self.head.facts)
            return paper.write(folder, [part.section for part in parts], self.head, answers, models)

    def close(self) -> None:
        """Write what is not yet in the page, where the run did not come to its end."""
        self._stop()
        self._write()

    def _see_to_it(self) -> None:
        """Write the page now, or let a timer do it when it is due, even amid the next analysis."""
        rest = self._written + EVERY_S - time.monotonic()
        if rest <= 0:
            self._stop()
            self._write()
            if self._trouble:
                say(f"  the report is not there yet: {self._trouble}")
        elif self._timer is None:
            self._timer = threading.Timer(rest, self._when_due)
            self._timer.daemon = True
            self._timer.start()

    def _when_due(self) -> None:
        self._timer = None
        self._write()

    def _stop(self) -> None:
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()

    def _write(self) -> None:
        with self._lock:
            if not (self._pending and any(part.state != "inapplicable" for part in self._parts)):
                return
            self._written = time.monotonic()
            head = replace(self.head, unfinished=self._unfinished())
            try:
                with model_colours(head.shown):
                    write(self.path, [*self._parts, *self._extra], head, self._items)
                self._pending, self._trouble = False, ""
            except (UserError, OSError, MemoryError) as error:
                self._trouble = str(error) or type(error).__name__

    def _unfinished(self) -> str:
        done, of = len(self._parts), len(self.names)
        text = f"unfinished: {done} of {of} analyses done; run the same command to go on"
        return f"{text}. Still to come: {', '.join(self.names[done:])}." if done < of else text


@contextmanager
def growing(path: Path, head: Head, names: Sequence[str]) -> Iterator[Report]:
    """Let a report grow while the block runs; however the block ends, the page has what was done.

    Parameters
    ----------
    path, head, names
        As ``Report`` takes them.
    """
    with model_colours(head.models), speaking(head.words, (*head.models, *head.probes)):
        report = Report(path, head, names)
        try:
            yield report
        finally:
            report.close()
