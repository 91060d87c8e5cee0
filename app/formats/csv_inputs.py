"""CSV bodies of prediction requests: small tables whose cells are texts."""

import csv
import io

from app.errors import FieldError, InvalidInputs
from app.formats.row_blocks import MAX_COLUMNS


def parse(body: bytes, max_rows: int) -> list[dict[str, str | None]]:
    """Return the rows below the header line; an empty cell is None. Raise InvalidInputs."""
    rows: list[dict[str, str | None]] = []
    try:
        lines = csv.reader(io.StringIO(body.decode("utf-8-sig"), newline=""), strict=True)
        header = next(lines, [])
        if len(header) > MAX_COLUMNS:
            raise _invalid("", f"{len(header)} columns, at most {MAX_COLUMNS} are accepted")
        names = [name.strip() for name in header]
        if len(set(names)) < len(names) or not names:
            raise _invalid("", "the first line has to name the columns, each once")
        for line in lines:
            if not line:
                continue
            if len(line) != len(names):
                raise _invalid(f"/inputs/{len(rows)}", f"{len(line)} cells, the header has {len(names)}")
            if len(rows) == max_rows:
                raise _invalid("", f"more than {max_rows} inputs")
            rows.append(dict(zip(names, [cell or None for cell in line], strict=True)))
    except (UnicodeDecodeError, csv.Error) as error:
        raise _invalid("", f"not readable as CSV in UTF-8: {error}") from error
    return rows


def _invalid(pointer: str, detail: str) -> InvalidInputs:
    return InvalidInputs(None, [FieldError(pointer, detail)])
