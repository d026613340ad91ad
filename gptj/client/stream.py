"""How an answer arrives: as server-sent events (as in the HTML standard) or as one JSON value."""

import json
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

from requests import Response

from chat.errors import ModelGarbage
from gptj.client.failures import told

Json = dict[str, Any]
MAX_LINE_BYTES = 1_000_000
_READ_BYTES = 65_536


class Piece(NamedTuple):
    """A piece of text; the last one may tell why the server ended the reply (length, eos_token, stop, …)."""

    text: str
    last: bool = False
    finish: str | None = None


def pieces(response: Response, understand: Callable[[Json], Piece], secrets: list[str]) -> Iterator[Piece]:
    """The pieces of an answer with status 200, whatever its form.

    Raises ModelGarbage if it is not the protocol, ModelBroke and others for an error told inside of it, and urllib3's
    HTTPError when the connection fails.
    """
    form = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if form == "text/event-stream":
        for name, data in _events(_lines(response)):
            yield Piece("", last=True) if data == b"[DONE]" else understand(_value(data, secrets, name == b"error"))
    elif form == "application/json":
        # Of a longer one the end is missing, and it is no JSON.
        whole = _value(response.raw.read(MAX_LINE_BYTES, decode_content=True), secrets)
        yield understand(whole)._replace(last=True)
    else:
        raise ModelGarbage


def _lines(response: Response) -> Iterator[bytes]:
    """The body as it arrives. Not `iter_lines`: that takes a chunk into memory whole, however large it is."""
    buffer = b""  # not decoded as it comes: a character may be cut
    while chunk := response.raw.read1(_READ_BYTES, decode_content=True):
        *lines, buffer = (buffer + chunk).split(b"\n")
        if len(buffer) > MAX_LINE_BYTES or any(len(line) > MAX_LINE_BYTES for line in lines):
            raise ModelGarbage
        yield from (line.rstrip(b"\r") for line in lines)


def _events(lines: Iterable[bytes]) -> Iterator[tuple[bytes, bytes]]:
    """Name and data of each event. Comments, which keep the connection awake, are skipped."""
    name, data = b"", b""
    for line in lines:
        field, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if not line:
            if data:
                yield name, data
            name, data = b"", b""
        elif field == b"data":
            data = data + b"\n" + value if data else value
            if len(data) > MAX_LINE_BYTES:
                raise ModelGarbage
        elif field == b"event":
            name = value
        elif field == b"error":  # llama.cpp until September 2025
            name, data = field, value


def _value(data: bytes, secrets: list[str], failed: bool = False) -> Json:
    """The object that was sent, also alone in a list. Raises the error that it tells of."""
    value: Any = read(data)
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if not isinstance(value, dict):
        raise ModelGarbage
    if failed or value.get("error") or value.get("object") == "error":
        raise told(value, secrets)
    return value


def read(data: bytes) -> Any:
    """The JSON value. Raises ModelGarbage."""
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:
        raise ModelGarbage from error


def characters(text: Any) -> str:
    """The text without lone surrogates, which JSON can write and UTF-8 can not; nothing for what is no text."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace") if isinstance(text, str) else ""
