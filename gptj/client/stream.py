"""What the model's server answers: the Hugging Face text-generation protocol, as events or as one JSON value.

Source: the OpenAPI document of Text Generation Inference (TGI); server-sent events as in the HTML standard.
"""

import json
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from requests import Response

from chat.errors import ModelGarbage
from gptj.client.failures import told

MAX_LINE_BYTES = 1_000_000
_READ_BYTES = 65_536


class Piece(NamedTuple):
    """A piece of text; the last one may tell why the server ended the reply (length, eos_token, stop_sequence)."""

    text: str
    last: bool = False
    finish: str | None = None


def pieces(response: Response, prompt: str, secrets: list[str]) -> Iterator[Piece]:
    """The pieces of an answer with status 200, whatever its form.

    Raises ModelGarbage if it is not the protocol, ModelBroke and others for an error told inside of it, and urllib3's
    HTTPError when the connection fails.
    """
    form = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if form == "text/event-stream":
        for name, data in _events(_lines(_chunks(response))):
            yield _piece(name, data, secrets)
    elif form == "application/json":
        body = beginning(response, MAX_LINE_BYTES + 1)
        if len(body) > MAX_LINE_BYTES:
            raise ModelGarbage
        yield _whole(_json(body), prompt, secrets)
    else:
        raise ModelGarbage


def beginning(response: Response, max_bytes: int) -> bytes:
    """The first bytes of the body. A body read to its end leaves the connection to the next request."""
    data = b""
    for chunk in _chunks(response):
        data += chunk
        if len(data) >= max_bytes:
            break
    return data[:max_bytes]


def _chunks(response: Response) -> Iterator[bytes]:
    """The body as it arrives. Not `iter_content`: that takes a chunk into memory whole, however large it is."""
    while chunk := response.raw.read1(_READ_BYTES, decode_content=True):
        yield chunk


def _lines(chunks: Iterable[bytes]) -> Iterator[str]:
    # Cut into lines before decoding: no byte of a longer character is a line feed in UTF-8.
    buffer = b""
    for chunk in chunks:
        *lines, buffer = (buffer + chunk).split(b"\n")
        if len(buffer) > MAX_LINE_BYTES or any(len(line) > MAX_LINE_BYTES for line in lines):
            raise ModelGarbage
        for line in lines:
            try:
                yield line.decode().rstrip("\r")
            except UnicodeDecodeError as error:
                raise ModelGarbage from error


def _events(lines: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Name and data of each event. Comments, which keep the connection awake, are skipped."""
    name, data = "", ""
    for line in lines:
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if not line:
            if data:
                yield name, data
            name, data = "", ""
        elif field == "data":
            data = f"{data}\n{value}" if data else value
            if len(data) > MAX_LINE_BYTES:
                raise ModelGarbage
        elif field == "event":
            name = value


def _piece(name: str, data: str, secrets: list[str]) -> Piece:
    if data == "[DONE]":
        return Piece("", last=True)
    value = _json(data)
    if not isinstance(value, dict):
        raise ModelGarbage
    if name == "error" or "error" in value:
        raise told(value, secrets)
    token, whole, details = value.get("token"), value.get("generated_text"), value.get("details")
    if not isinstance(token, dict) or not isinstance(token.get("text"), str) or not isinstance(whole, str | None):
        raise ModelGarbage
    finish = details.get("finish_reason") if isinstance(details, dict) else None
    return Piece("" if token.get("special") else _characters(token["text"]), whole is not None, finish)


def _whole(value: Any, prompt: str, secrets: list[str]) -> Piece:
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if isinstance(value, dict) and "error" in value:
        raise told(value, secrets)
    if not isinstance(value, dict) or not isinstance(value.get("generated_text"), str):
        raise ModelGarbage
    # Some servers do not know return_full_text and begin with the prompt.
    return Piece(_characters(value["generated_text"]).removeprefix(prompt), last=True)


def _json(data: str | bytes) -> Any:
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:
        raise ModelGarbage from error


def _characters(text: str) -> str:
    """The text without lone surrogates, which JSON can write and UTF-8 can not."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
