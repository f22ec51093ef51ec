"""The command line's reference, from the application itself."""

from collections.abc import Iterator
from enum import Enum
from typing import Any

import typer

from cae_cli.main import application
from cae_site.tables import code, table

__all__ = ["command_reference", "commands"]


def commands() -> list[tuple[str, Any]]:
    """Return every command by what one types, such as ``cae pool train``, in the order of the help."""
    return list(_below("cae", typer.main.get_command(application())))


def _below(words: str, command: Any) -> Iterator[tuple[str, Any]]:  # noqa: ANN401 - typer's own class differs by version
    yield words, command
    for name, each in getattr(command, "commands", {}).items():
        yield from _below(f"{words} {name}", each)


def command_reference() -> str:
    """Return a section for each command: what it does, and a table of its options."""
    return "\n\n".join(_section(words, command) for words, command in commands())


def _section(words: str, command: Any) -> str:  # noqa: ANN401
    # not `command.params`: some commands add options of their own
    options = [each for each in command.get_params(typer.Context(command)) if not each.hidden and each.name != "help"]
    parts = [f"## `{words}`", _help(command.help or "")]
    if getattr(command, "commands", {}):
        parts.append(table(["command", "what it does"], [_summary(words, *each) for each in command.commands.items()]))
    for panel in dict.fromkeys(_panel(option) for option in options):
        parts += [f"**{panel}**"] if panel else []
        rows = [_row(option) for option in options if _panel(option) == panel]
        parts.append(table(["option", "takes", "default", "meaning"], rows))
    return "\n\n".join(parts)


def _panel(option: Any) -> str:  # noqa: ANN401
    """Return the heading under which the help shows an option; empty for those that come first."""
    return getattr(option, "rich_help_panel", None) or ""


def _summary(words: str, name: str, command: Any) -> tuple[str, str]:  # noqa: ANN401
    return code(f"{words} {name}"), (command.help or "").split("\n\n")[0].split(". ")[0].strip().rstrip(".") + "."


def _help(text: str) -> str:
    """Return the help as Markdown: a line with an example stands in a block, an option is code."""
    return "\n\n".join(_paragraph(part) for part in text.replace("\b", "").split("\n\n"))


def _paragraph(text: str) -> str:
    head, is_example, example = text.partition("Example: ")
    if is_example and not head.strip():
        return f"```console\n$ {' '.join(example.split())}\n```"
    return text.strip()


def _row(option: Any) -> tuple[str, ...]:  # noqa: ANN401
    is_argument = option.param_type_name == "argument"
    names = [option.metavar or option.name.upper()] if is_argument else [*option.opts, *option.secondary_opts]
    return " ".join(map(code, names)), code(_takes(option)), code(_default(option)), option.help or ""


def _takes(option: Any) -> str:  # noqa: ANN401
    if option.param_type_name == "argument" or getattr(option, "is_flag", False):
        return ""
    return option.metavar or getattr(option.type, "name", "text").strip("<>")


def _default(option: Any) -> str:  # noqa: ANN401
    if option.required:
        return "required"
    default = option.default
    if default is None or default in (False, "", (), []) or callable(default):
        return ""
    return str(default.value if isinstance(default, Enum) else default)
