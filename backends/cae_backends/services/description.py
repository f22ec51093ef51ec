"""What a TOML file says of a service: where it is, how it is asked, and how fast."""

import ipaddress
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeAlias, cast
from urllib.parse import SplitResult, urlsplit

from cae_core.contract import Contract, Task, parse_contract
from cae_core.errors import ContractError, OptionError, quoted
from cae_core.files.fields import check_choices, read_fields
from cae_core.reading import parse_toml, read_limited, reading

__all__ = ["Description", "Form", "Kind", "read_description"]

Form: TypeAlias = Literal["open-inference", "tensorflow-serving", "json"]
Kind: TypeAlias = Literal["label", "scores", "top"]

_SECRET = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
"""How an environment variable is named in a header or in an address."""

_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")

_LARGEST = 1 << 20

_PNG = {"layout": "NHWC", "range": [0, 255], "dtype": "uint8"}
"""What a contract says of an image that travels as PNG or JPEG, where it says nothing else."""

_OURS = frozenset({"host", "content-length", "content-type", "accept-encoding", "transfer-encoding", "connection"})
"""Headers that a description does not set: the client sees to them."""


@dataclass(frozen=True, kw_only=True)
class Description:
    """A service.

    Attributes:
        form: the protocol.
        url: address to which images are posted; ``${NAME}`` stands for an environment variable.
        version: version of the model, as its owner declares it.
        headers: headers that are sent with each request; ``${NAME}`` stands for an environment variable.
        images: how many images a request has at most.
        concurrency: how many requests are under way at most.
        per_second: how many requests are begun in a second at most; None: as many as are answered.
        seconds: until a request is given up.
        attempts: how often a request is sent at most.
        first_wait: seconds before the second attempt; each further wait is twice as long, with some chance.
        longest_wait: seconds of a wait at most, also of one that the service asks for.
        give_up: after so many images in a row without an answer the run ends, and can be gone on with.
        most_images: images that may be sent in all, each sending counted; None: no limit.
        most_seconds: most seconds that a run may take; None: no limit.
        certificates: file of the authorities that vouch for the service (PEM); empty: the public ones.
        body: of ``form = "json"``: what is posted; ``{png}``, ``{jpeg}`` and ``{tensor}`` stand for the image.
        answer: of ``form = "json"``: a JMESPath to the answer, of all images where a request has several.
        kind: what that is: a label or name, all scores, or pairs of name and score.
        contract: what the service takes and answers.
    """

    form: Form
    url: str
    version: str = ""
    headers: dict[str, str] = field(default_factory=dict[str, str])
    images: int = 1
    concurrency: int = 1
    per_second: float | None = None
    seconds: float = 30.0
    attempts: int = 5
    first_wait: float = 0.5
    longest_wait: float = 60.0
    give_up: int = 10
    most_images: int | None = None
    most_seconds: float | None = None
    certificates: str = ""
    body: dict[str, Any] = field(default_factory=dict[str, Any])
    answer: str = ""
    kind: Kind = "label"
    contract: Contract

    def __post_init__(self) -> None:
        check_choices(self)
        for name, least, most in _RANGES:
            value = getattr(self, name)
            if value is not None and not (math.isfinite(value) and least <= value <= most):
                raise OptionError(f"{name} must be from {least:g} to {most:g}; found {quoted(value)}.")
        if len(self.version) > 200:
            raise OptionError("version has at most 200 characters.")
        self._check_address()
        for name, value in self.headers.items():
            if not _HEADER.fullmatch(name) or name.lower() in _OURS or not (value.isascii() and value.isprintable()):
                raise OptionError(f"the header {quoted(name)} cannot be set so. Correct or remove it.")
        if (self.form == "json") != bool(self.body and self.answer):
            raise OptionError('form = "json" takes a body and an answer, and the other forms have their own.')

    def _check_address(self) -> None:
        parts = self.parts
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.fragment:
            raise OptionError(f"url must be such as https://example.org/v1/classify; found {quoted(self.address)}.")
        if parts.username is not None or parts.password is not None:
            raise OptionError(
                "the url holds a name or password. Put them into a header by an environment variable, such as "
                'headers = {Authorization = "Bearer ${TOKEN}"}.'
            )
        if _SECRET.search(parts.netloc) or _SECRET.search(parts.path):
            raise OptionError("an environment variable may stand in headers and in the query of the url only.")
        if self.secrets and parts.scheme == "http" and not _is_here(parts.hostname):
            raise OptionError(
                "a secret is not sent over http, where everybody on the way can read it. Give an https address."
            )

    @property
    def parts(self) -> SplitResult:
        """The parts of the address.

        Raises:
            OptionError: it is none.
        """
        try:
            parts = urlsplit(self.url)
            _ = parts.port
        except ValueError as error:
            raise OptionError(f"url is no address ({error}).") from error
        return parts

    @property
    def address(self) -> str:
        """The address without credentials and query."""
        parts = self.parts
        port = f":{parts.port}" if parts.port is not None else ""
        return f"{parts.scheme}://{parts.hostname or ''}{port}{parts.path}"

    @property
    def port(self) -> int:
        """The port that is connected to."""
        return self.parts.port or (443 if self.parts.scheme == "https" else 80)

    @property
    def secrets(self) -> tuple[str, ...]:
        """Names of the environment variables that are filled in."""
        texts = (*self.headers.values(), self.url)
        return tuple(sorted({name for text in texts for name in _SECRET.findall(text)}))

    def filled(self, text: str, secrets: Mapping[str, str]) -> str:
        """Return ``text`` with the secrets in their places.

        Raises:
            OptionError: one is not there, or holds what no header holds; it is not shown.
        """

        def value(match: re.Match[str]) -> str:
            found = secrets.get(match[1], "")
            if not found or not (found.isascii() and found.isprintable()):
                raise OptionError(
                    f"the environment variable {match[1]} is not set, or holds what no header can. Set it."
                )
            return found

        return _SECRET.sub(value, text)


_RANGES: tuple[tuple[str, float, float], ...] = (
    ("images", 1, 4096),
    ("concurrency", 1, 64),
    ("per_second", 1e-3, 1e4),
    ("seconds", 1e-2, 3600),
    ("attempts", 1, 100),
    ("first_wait", 0, 600),
    ("longest_wait", 0, 3600),
    ("give_up", 1, 1 << 20),
    ("most_images", 1, 1 << 40),
    ("most_seconds", 1, 1e9),
)
"""Of each number the least and the most."""

_BY_PATH = (
    (re.compile(r"/v2/models/.+/infer"), "open-inference"),
    (re.compile(r"/v1/models/.+:predict"), "tensorflow-serving"),
)
"""Forms whose addresses say which they are."""


def read_description(spec: str, *, contract: Contract | None, task: Task) -> Description:
    """Return the description that stands in a TOML file, or that an address is by itself.

    Args:
        spec: the path, or the address.
        contract: replaces the file's; an address by itself has none.
        task: the classes of the data.

    Raises:
        OptionError: it is none; the file, or the address without its query, begins the message.
        ContractError: nobody says what the service takes.
    """
    path = Path(spec)
    if path.suffix.lower() != ".toml" or spec.startswith(("http://", "https://")):
        return _of_address(spec, contract, task)
    with reading(path, OptionError, fault="this is no description of a service", remedy="See docs/services.md."):
        table = parse_toml(read_limited(path, _LARGEST))
        if unknown := sorted(set(table) - {"service", "contract"}):
            raise ValueError(f"unknown table {quoted(unknown[0])}; there are [service] and [contract]")
        told: Any = table.get("service")
        if not isinstance(told, dict):
            raise TypeError("it has no table [service]")
        given = _read(cast("dict[str, Any]", told))
        if given.get("certificates"):
            given["certificates"] = str(path.parent / given["certificates"])
        given["contract"] = (contract or _contract(table, given, path)).for_task(task)
        return Description(**given)


def _read(told: dict[str, Any]) -> dict[str, Any]:
    if "contract" in told:
        raise ValueError("the contract is a table of its own, [contract]")
    given = read_fields(Description, told)
    headers = given.get("headers", {})
    if not all(isinstance(value, str) for value in headers.values()):
        raise ValueError("headers must be texts")
    for name in ("form", "url"):
        if name not in given:
            raise ValueError(f"[service] does not say {name}")
    return given


def _contract(table: Mapping[str, Any], given: Mapping[str, Any], path: Path) -> Contract:
    told: Any = table.get("contract")
    if not isinstance(told, dict):
        raise ContractError(
            f"{path}: it has no table [contract]. What a service takes and answers is never guessed: "
            'for example layout = "NHWC", range = [0, 1], output = "probabilities".'
        )
    fields = cast("dict[str, Any]", told)
    as_image = given["form"] == "json" and "{tensor}" not in repr(given.get("body"))
    return parse_contract({**(_PNG if as_image else {}), **fields}, origin=str(path), folder=path.parent)


def _of_address(spec: str, contract: Contract | None, task: Task) -> Description:
    shown = spec.partition("?")[0]
    form = next((form for pattern, form in _BY_PATH if pattern.fullmatch(urlsplit(spec).path)), None)
    if form is None:
        raise OptionError(
            f"{shown}: the address does not say how it is asked. Such ones do: …/v2/models/NAME/infer (Open Inference "
            "Protocol) and …/v1/models/NAME:predict (TensorFlow Serving); describe another in a TOML file, see "
            "docs/services.md."
        )
    if contract is None:
        raise ContractError(
            f"{shown}: nobody says what the service takes and answers, and it is never guessed. Give --contract, such "
            'as \'layout="NHWC", range=[0,1], output="probabilities"\', or describe it in a TOML file.'
        )
    with reading(shown, OptionError, fault="this is no address of a service"):
        return Description(form=cast("Form", form), url=spec, contract=contract.for_task(task))


def _is_here(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
