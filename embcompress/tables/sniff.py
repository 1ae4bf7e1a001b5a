"""What a file is, told by its content and never by its suffix alone."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from embcompress.tables.file import SourceFile
from embcompress.tables.header import MAX_HEADER_BYTES
from embcompress.tables.npy import MAGIC

HEAD_BYTES = 4096


@dataclass(frozen=True)
class Sniffed:
    """What a file is.

    Attributes:
        kind: The two formats tables are read from, plain text, or anything else.
        what: A phrase for a message, such as "gzip data; unpack it with gunzip first".
    """

    kind: Literal["npy", "safetensors", "text", "other"]
    what: str


_STARTS: tuple[tuple[bytes, str], ...] = (
    (b"\x1f\x8b", "gzip data; unpack it with gunzip first"),
    (b"BZh", "bzip2 data; unpack it with bunzip2 first"),
    (b"\xfd7zXZ\x00", "xz data; unpack it with unxz first"),
    (b"\x28\xb5\x2f\xfd", "zstandard data; unpack it with unzstd first"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive; unpack it first"),
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file; save the table as .npy or .safetensors"),
    (b"PAR1", "a Parquet file; embcompress convert makes it .safetensors"),
    (b"ARROW1", "an Arrow file; save the table as .npy or .safetensors"),
    (b"GGUF", "a GGUF file; start from the unquantized .safetensors"),
    (b"MATLAB", "a MATLAB file; save the table as .npy"),
    (b"version https://git-lfs", "a Git LFS pointer, not the data; run git lfs pull"),
)

_HTML = re.compile(rb"\s*<(?:!doctype\s+html|html|head|body|\?xml|!--)", re.IGNORECASE)
_PICKLE = re.compile(rb"\x80[\x02-\x05]")
_FAISS = re.compile(rb"I[xBw][A-Za-z0-9][A-Za-z0-9]")
_NOT_TEXT = re.compile(rb"[\x00-\x08\x0b\x0e-\x1a\x1c-\x1f]")


def sniff(file: SourceFile) -> Sniffed:
    """Tell what a file is from its first bytes.

    Args:
        file: The open file.

    Returns:
        What it is. Binary data that nothing else explains counts as (damaged) safetensors when the
        file's name says so, for the sake of the message that its parser will give.
    """
    head = file.read(0, HEAD_BYTES)
    if head.startswith(MAGIC):
        return Sniffed("npy", "a .npy file")
    length = int.from_bytes(head[:8], "little")
    if head[8:9] == b"{" and length <= MAX_HEADER_BYTES:
        return Sniffed("safetensors", "a safetensors file")
    other = _other(head)
    if other is not None:
        return Sniffed("other", other)
    if _is_text(head):
        return Sniffed(
            "text",
            "text (CSV or word vectors?); embcompress convert makes word vectors .safetensors",
        )
    if file.path.endswith(".safetensors"):
        return Sniffed("safetensors", "a damaged safetensors file")
    return Sniffed("other", f"neither .npy nor .safetensors (it starts with {head[:8].hex(' ')})")


def _other(head: bytes) -> str | None:
    if not head:
        return "empty (0 bytes); fetch it again"
    for start, what in _STARTS:
        if head.startswith(start):
            return what
    if head.startswith(b"PK\x03\x04"):
        return _zip(head)
    if _PICKLE.match(head):
        return (
            "a Python pickle (an old .pt or .pkl file), which is never unpickled here; "
            "embcompress convert reads tensors of a .pt file and makes them .safetensors"
        )
    if _FAISS.match(head) and not _is_text(head):
        return "a faiss index; save the vectors themselves as .npy"
    if _HTML.match(head):
        return "an HTML page (an error page saved by a download?); fetch the file again"
    if head.lstrip()[:1] in (b"{", b"[") and _is_text(head):
        return "JSON text; name the .npy or .safetensors file itself, or a model's folder"
    return None


def _is_text(head: bytes) -> bool:
    """Say whether bytes are text in some encoding that contains ASCII, and mostly ASCII."""
    ascii_bytes = sum(byte < 0x7F for byte in head)
    return not _NOT_TEXT.search(head) and 2 * ascii_bytes > len(head)


def _zip(head: bytes) -> str:
    if b"data.pkl" in head or b".format_version" in head or b"/version" in head:
        return "a torch checkpoint (.pt); embcompress convert makes it .safetensors"
    if b".npy" in head:
        return "a zip of arrays (.npz); embcompress convert makes it .safetensors"
    return "a zip archive; unpack it first"
