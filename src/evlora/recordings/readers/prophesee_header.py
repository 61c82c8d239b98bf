"""The text in front of Prophesee's files (RAW and DAT): `%` lines with a keyword and a value.

https://docs.prophesee.ai/stable/data/file_formats/raw.html and …/dat.html.
"""

import re
from dataclasses import dataclass
from pathlib import Path

LONGEST_HEADER_BYTES = 1 << 16
ENCODINGS = ("evt2", "evt2.1", "evt3")
"""Encodings of RAW files that are read."""
CONTROLS = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
"""Bytes that no line of text holds."""
KEYWORD = re.compile(rb"(evt|format|geometry|width|height|date|version|end)\b", re.IGNORECASE)
"""Begins a header line that has no blank behind its `%`."""
SIZE_FIELDS = ("geometry", "resolution")
GEOMETRY = re.compile(r"\s*(\d{1,9})\s*[x×,]\s*(\d{1,9})\s*", re.IGNORECASE)

SENSOR_OF_MODEL = (
    ("gen31", (640, 480)),
    ("gen3", (640, 480)),
    ("gen41", (1280, 720)),
    ("gen4", (1280, 720)),
    ("imx636", (1280, 720)),
    ("imx646", (1280, 720)),
    ("genx320", (320, 320)),
    ("gen1", (304, 240)),
)
"""Part of a plugin's or sensor's name → width and height, from the makers' data sheets. Files of
the third generation seldom say their size: they are 640×480."""

SENSOR_OF_GENERATION = {
    "1.0": (304, 240),
    "3.0": (640, 480),
    "3.1": (640, 480),
    "4.0": (1280, 720),
    "4.1": (1280, 720),
    "4.2": (1280, 720),
}

DATE_OF_EXPELLIARMUS = "1970-12-25 07:51:03"
TIME_BASE_FIELD = "evlora_time_base_us"
"""Header keyword of this library's writer for the time that its clock starts from."""
TIME_BASE_FIELDS = (TIME_BASE_FIELD, "t0")
"""The same keyword, and faery's, which its DAT files spell T0; other readers pass over them."""


@dataclass(frozen=True, slots=True)
class PropheseeHeader:
    """What the header states, and where the data begin."""

    fields: dict[str, str]
    """Keyword in small letters → value."""
    data_byte: int

    @property
    def encoding(self) -> str | None:
        """evt2, evt2.1, evt3 or evt4, as the header names it; None where it does not."""
        name = self.fields.get("format", "").split(";")[0].strip().lower()
        version = self.fields.get("evt", "").strip().lower()
        for encoding, names in (
            ("evt2", ("evt2", "2.0", "2")),
            ("evt2.1", ("evt21", "evt2.1", "2.1")),
            ("evt3", ("evt3", "3.0", "3")),
            ("evt4", ("evt4", "4.0", "4")),
        ):
            if (name or version) in names:
                return encoding
        return name or version or None

    @property
    def size(self) -> tuple[int, int] | None:
        """Width and height, as the header states them or its camera's model has them."""
        for keyword in SIZE_FIELDS:
            geometry = GEOMETRY.fullmatch(self.fields.get(keyword, ""))
            if geometry:
                return int(geometry[1]), int(geometry[2])
        options = dict(
            option.split("=", 1)
            for option in self.fields.get("format", "").lower().split(";")
            if "=" in option
        )
        for source in (options, self.fields):
            width, height = source.get("width", ""), source.get("height", "")
            if re.fullmatch(r"\d{1,9}", width) and re.fullmatch(r"\d{1,9}", height):
                return int(width), int(height)
        return self._size_of_model()

    @property
    def time_base_us(self) -> int:
        """What to add to every time: the recording's begin, where its clock starts at zero."""
        for keyword in TIME_BASE_FIELDS:
            if re.fullmatch(r"-?\d{1,18}", text := self.fields.get(keyword, "").strip()):
                return int(text)
        return 0

    @property
    def option(self) -> dict[str, str]:
        """The options behind the format's name, such as endianness."""
        return dict(
            option.lower().split("=", 1)
            for option in self.fields.get("format", "").split(";")
            if "=" in option
        )

    @property
    def is_of_expelliarmus(self) -> bool:
        """Whether expelliarmus wrote the file: it copies one camera's header into all of them."""
        return self.fields.get("date") == DATE_OF_EXPELLIARMUS

    def _size_of_model(self) -> tuple[int, int] | None:
        for keyword in ("sensor_name", "plugin_name"):
            name = self.fields.get(keyword, "").lower()
            for part, size in SENSOR_OF_MODEL:
                if part in name:
                    return size
        for keyword in ("sensor_generation", "generation"):
            if self.fields.get(keyword, "").strip() in SENSOR_OF_GENERATION:
                return SENSOR_OF_GENERATION[self.fields[keyword].strip()]
        return None


def read_header(path: Path) -> PropheseeHeader:
    """The header of a RAW or DAT file; no field and byte 0 where there is none."""
    with path.open("rb") as file:
        return header_in(file.read(LONGEST_HEADER_BYTES))


def header_in(head: bytes) -> PropheseeHeader:
    """The header in the first `LONGEST_HEADER_BYTES` of a file or stream."""
    fields: dict[str, str] = {}
    at = 0
    while head.startswith(b"%", at):
        end = head.find(b"\n", at)
        text = _text(head[at + 1 : end])
        if end < 0 or text is None:
            break
        at = end + 1
        keyword, _, value = text.strip().partition(" ")
        keyword = keyword.removesuffix(":")
        if keyword.lower() == "end":
            break
        if keyword:
            fields.setdefault(keyword.lower(), value.strip())
    return PropheseeHeader(fields, at)


def _text(line: bytes) -> str | None:
    """A header line behind its `%`; None where it is no text, but data that begin with a `%`.

    People put names and places into the header, in whichever encoding their system has.
    """
    is_header = not line or line.startswith(b" ") or KEYWORD.match(line)
    if not is_header or CONTROLS.search(line.rstrip(b"\r")):
        return None
    return line.decode("utf-8", "replace")
