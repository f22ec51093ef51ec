"""Bars on a terminal: one a stage, and under the one that runs what it is at."""

from collections.abc import Generator, Iterable
from contextlib import contextmanager

from rich.console import Console, RenderableType
from rich.progress import BarColumn, ProgressColumn, Task, TaskID, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Table
from rich.text import Text

from cae_cli.progress import duration
from cae_core.foreign_text import harmless, visible
from cae_core.progress import Reporter

__all__ = ["open_bars"]

_UNEVEN = frozenset({"searching", "training"})
"""Stages whose units say nothing about the time that is left."""

_KNOWN_AFTER_S, _KNOWN_FROM = 5.0, 0.1
"""An estimate is shown once so many seconds and this share of the units are behind."""


@contextmanager
def open_bars() -> Generator[Reporter]:
    """Show bars on stderr, for as long as the body runs."""
    table = _Table(
        TextColumn("{task.description:<18}", markup=False),
        BarColumn(24),
        _Count(),
        TimeElapsedColumn(),
        _Left(),
        console=Console(stderr=True),
    )
    with table:
        yield _Bars(table)


class _Bars:
    """Tells a table of bars; see `Reporter`."""

    def __init__(self, table: "_Table") -> None:
        self._table = table
        self._tasks: dict[str, TaskID] = {}

    def __call__(self, stage: str, done: int, total: int, /) -> None:
        task = self._task(stage)
        self._table.update(task, completed=done, total=total)

    def detail(self, stage: str, words: str, /) -> None:
        self._table.update(self._task(stage), words=visible(words))

    def say(self, words: str, /) -> None:
        self._table.console.print(Text(harmless(words)))

    def _task(self, stage: str) -> TaskID:
        if stage not in self._tasks:
            for name in [name for name, task in self._tasks.items() if self._table.total(task) is None]:
                self._table.remove_task(self._tasks.pop(name))  # it never came to its first unit
            self._tasks[stage] = self._table.add_task(visible(stage), total=None, words="")
        return self._tasks[stage]


class _Table(Table):
    """Bars, and a line under them."""

    def total(self, task: TaskID) -> float | None:
        """Return how many units a task has; None: nobody knows yet."""
        return self._tasks[task].total

    def get_renderables(self) -> Iterable[RenderableType]:
        """Give the bars, and what the last unfinished stage is at."""
        yield self.make_tasks_table(self.tasks)
        running = [task for task in self.tasks if not task.finished and task.fields["words"]]
        if running:
            yield Text(f"  {running[-1].fields['words']}", "dim", no_wrap=True, overflow="ellipsis")


class _Count(ProgressColumn):
    """How many units are done, once it is known of how many."""

    def render(self, task: Task) -> Text:
        """Return it."""
        return Text("" if task.total is None else f"{int(task.completed)}/{int(task.total)}", "progress.download")


class _Left(ProgressColumn):
    """The time that the rest takes at the mean pace so far.

    It stands where one unit takes about as long as the next: examples come when they come, and jobs know better.
    """

    def render(self, task: Task) -> Text:
        """Return it; nothing where it is not known."""
        if task.finished or task.total is None or not task.completed or task.description in _UNEVEN:
            return Text("")
        elapsed, share = task.elapsed or 0.0, task.completed / task.total
        if elapsed < _KNOWN_AFTER_S or share < _KNOWN_FROM:
            return Text("")
        return Text(f"about {duration(elapsed * (1 - share) / share)} left", "progress.remaining")
