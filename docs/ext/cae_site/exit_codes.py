"""With what a command ends, from the constants that it ends with."""

from cae_cli import main
from cae_cli.commands import judge, verify
from cae_core.scan.summary import ScanSummary
from cae_site.tables import code, table

__all__ = ["exit_codes"]

_EVERY = (
    (main.EXIT_OK, "It did what was asked."),
    (main.EXIT_FAILED, "It could not do it; the last line on standard error says why and what to do."),
    (main.EXIT_USAGE, "An option is missing, unknown or does not fit; nothing was done."),
    (main.EXIT_INTERRUPTED, "It was interrupted; the same command goes on where work was kept."),
)


def exit_codes() -> str:
    """Return the table of every command's exit codes, then those of the commands that tell a result by theirs."""
    parts = [table(["code", "every command"], [(code(str(number)), words) for number, words in _EVERY])]
    for command, codes in (("cae verify --exit-code", verify.EXIT_CODES), ("cae judge", judge.EXIT_CODES)):
        parts.append(table(["code", code(command)], [(code(str(number)), words) for words, number in codes.items()]))
    scan = (ScanSummary.exit_code.__doc__ or "").strip()
    parts.append(f"`cae scan --exit-code` ends with {scan}")
    return "\n\n".join(parts)
