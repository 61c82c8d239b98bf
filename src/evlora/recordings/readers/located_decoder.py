"""From where the fields lie to what decodes them: a step that npy, npz, HDF5 and MATLAB share."""

from collections.abc import Iterable, Mapping
from typing import Any

from evlora.recordings.readers.decoding import Findings
from evlora.recordings.readers.field_decoder import FieldDecoder
from evlora.recordings.readers.locating import Located, note_columns
from evlora.recordings.readers.stated_time import stated_offset_us


def decoder_for(
    where: Located,
    findings: Findings,
    holders: Iterable[Mapping[str, Any]] = (),
    *,
    may_count_from_one: bool = False,
) -> FieldDecoder:
    """The decoder of these fields, with what the file states apart of their times.

    Args:
        where: Where they lie.
        findings: Where to note which columns were taken, and what is detected later.
        holders: What lies beside the fields, name → value: a unit and an offset of the times.
        may_count_from_one: See `FieldDecoder`.

    Raises:
        RecordingError: What is stated is no unit, or no offset.
    """
    stated = list(holders)
    path = str(findings.path)
    note_columns(where, findings)
    where = where.with_stated_unit(stated, where=path)
    return FieldDecoder(
        findings,
        unit=where.unit,
        unit_by=where.unit_by,
        offset_us=stated_offset_us(stated, where=path),
        may_count_from_one=may_count_from_one,
    )
