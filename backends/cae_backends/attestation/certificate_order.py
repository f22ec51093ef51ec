"""The certificates of a timestamp response in the order that DER demands, which many authorities do not keep.

The set of certificates is not signed (RFC 5652, 5.1: ``SignedData.certificates``, and ``crls`` beside it), so their
order can be mended before the response is parsed, by a parser that takes DER only. All other bytes stay as they are.
"""

from dataclasses import dataclass

__all__ = ["sort_certificates"]

_SEQUENCE, _CERTIFICATES, _LISTS = 0x30, 0xA0, 0xA1
_LONG_TAG, _LONG_LENGTH, _LENGTH_BYTES = 0x1F, 0x80, 4


@dataclass(frozen=True)
class _Element:
    """One element: it has the tag ``tag`` and lies at ``begin`` to ``end``, its content from ``content`` on."""

    tag: int
    begin: int
    content: int
    end: int


def sort_certificates(response: bytes) -> bytes:
    """Return a timestamp response (RFC 3161) with its certificates and its revocation lists sorted by their bytes.

    What has no such sets, or is no response at all, comes back as it is: the parser says what is wrong with it.
    """
    try:
        sets = _unsigned_sets(response)
        for element in sets:
            parts = sorted(response[x.begin : x.end] for x in _children(response, element))
            response = response[: element.content] + b"".join(parts) + response[element.end :]
    except ValueError:
        pass
    return response


def _unsigned_sets(response: bytes) -> list[_Element]:
    """TimeStampResp → timeStampToken (a ContentInfo) → content → SignedData → [0] certificates, [1] crls."""
    whole = _read(response, 0, len(response))
    token = _only(response, whole, 1, _SEQUENCE)
    content = _only(response, token, 1, _CERTIFICATES)  # [0], too
    signed = _only(response, content, 0, _SEQUENCE)
    return [x for x in _children(response, signed) if x.tag in (_CERTIFICATES, _LISTS)]


def _only(data: bytes, parent: _Element, place: int, tag: int) -> _Element:
    children = _children(data, parent)
    if len(children) <= place or children[place].tag != tag:
        raise ValueError("there is no such element")
    return children[place]


def _children(data: bytes, parent: _Element) -> list[_Element]:
    found, at = [], parent.content
    while at < parent.end:
        found.append(_read(data, at, parent.end))
        at = found[-1].end
    return found


def _read(data: bytes, at: int, limit: int) -> _Element:
    """Read the tag and the definite length of the element at ``at``, which ends at ``limit`` at the latest."""
    if at + 2 > limit or data[at] & _LONG_TAG == _LONG_TAG:
        raise ValueError("this is no DER")
    length, content = data[at + 1], at + 2
    if length >= _LONG_LENGTH:
        size = length - _LONG_LENGTH
        if not 1 <= size <= _LENGTH_BYTES:
            raise ValueError("this is no DER")
        length, content = int.from_bytes(data[content : content + size]), content + size
    if content + length > limit:
        raise ValueError("this is cut")
    return _Element(data[at], at, content, content + length)
