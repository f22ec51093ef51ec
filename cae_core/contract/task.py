"""What a model is asked about: how many classes there are, and what they are called."""

from dataclasses import dataclass

from cae_core.errors import ModelError

__all__ = ["Task"]


@dataclass(frozen=True, kw_only=True)
class Task:
    """The classes of the data that a model is asked about.

    Attributes:
        classes: their number, c.
        names: their c names in order; empty: nobody knows them.
    """

    classes: int
    names: tuple[str, ...] = ()

    def place(self, name: str) -> int | None:
        """Return the number of the class called ``name``, or written by its number; None where there is none.

        Example:
            >>> task = Task(classes=2, names=("cat", "dog"))
            >>> task.place("dog"), task.place("0"), task.place("frog")
            (1, 0, None)
        """
        if name in self.names:
            return self.names.index(name)
        known = name.isascii() and name.isdecimal() and len(name) < 10 and int(name) < self.classes
        return int(name) if known else None

    def check_count(self, found: int, origin: str) -> None:
        """Refuse a model that answers ``found`` classes; ``origin`` begins the message.

        Raises:
            ModelError: there are fewer, or more.
        """
        if found != self.classes:
            raise ModelError(
                f"{origin}: answers with {found} classes and the fingerprint has {self.classes}. "
                "If it is a model of the same task, name the classes in its contract (classes = [...])."
            )
