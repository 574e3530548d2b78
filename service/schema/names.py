"""Names of sessions, devices, projects, data keys and commands: which texts are allowed.

Names appear in logs, in terminals and in the lists of people, so a *new* one may not contain characters that
make one text look like another or like more than one line:

* control characters (Unicode's category Cc);
* line and paragraph separators (U+2028, U+2029);
* what is nothing to see: the code points with Unicode's property Default_Ignorable_Code_Point, among them soft
  hyphen, zero-width space, word joiner, direction controls and marks, fillers, tags;
* halves of surrogate pairs, which are no text at all.

Persian, Hindi, Mongolian, Japanese and emoji need some of these: joiners (U+200C, U+200D) and variation selectors.
At most two of them may follow a character that is not ASCII, so that an ASCII name cannot be imitated. Letters of
every script and spaces are fine. Names are compared character by character: an accent in one character or in two
makes two names.

An *existing* name is another matter. This rule was not always the same, and Redis or an archive may hold a
session that an older version took. It has to be shown, archived, restored and deleted all the same, so a
request that names something existing may use any text (`is_text`): it is found or it is not.
"""

from __future__ import annotations

import re
from typing import Any

from service.errors import InvalidRequest
from service.schema.limits import MAX_NAME_BYTES

#: Joiners and variation selectors, first and last of each range.
JOINING = (
    *((0x180B, 0x180D), (0x180F, 0x180F), (0x200C, 0x200D), (0xFE00, 0xFE0F)),
    (0xE0100, 0xE01EF),
)
#: The other code points with the property Default_Ignorable_Code_Point (Unicode 16, DerivedCoreProperties.txt; a test
#: compares both tables with those of Node.js), among them unassigned ones.
IGNORABLE = (
    *(
        (0xAD, 0xAD),
        (0x34F, 0x34F),
        (0x61C, 0x61C),
        (0x115F, 0x1160),
        (0x17B4, 0x17B5),
        (0x180E, 0x180E),
    ),
    *((0x200B, 0x200B), (0x200E, 0x200F), (0x202A, 0x202E), (0x2060, 0x206F), (0x3164, 0x3164)),
    *((0xFEFF, 0xFEFF), (0xFFA0, 0xFFA0), (0xFFF0, 0xFFF8), (0x1BCA0, 0x1BCA3), (0x1D173, 0x1D17A)),
    *((0xE0000, 0xE00FF), (0xE01F0, 0xE0FFF)),
)
#: Refused in any place, without surrogates.
REFUSED = ((0x00, 0x1F), (0x7F, 0x9F), (0x2028, 0x2029), *IGNORABLE)
#: How many of `JOINING` may follow each other: a variation selector and a joiner.
MAX_JOINING = 2
#: In words, for messages.
WITHOUT = "no control characters, line separators, direction controls or invisible characters"


def _ranges(*ranges: tuple[int, int]) -> str:
    """Return the inside of a character class of ECMA 262 with the flag `u`, which is also one of Python."""
    ends = [f"\\u{end:04X}" if end <= 0xFFFF else chr(end) for both in ranges for end in both]
    return "".join(f"{first}-{last}" for first, last in zip(ends[::2], ends[1::2], strict=True))


#: A letter of a name as a regular expression, for published schemas. JSON has no surrogates.
LETTER = (
    f"(?:[ -~]|[^{_ranges((0, 0x7F), *REFUSED, *JOINING)}][{_ranges(*JOINING)}]{{0,{MAX_JOINING}}})"
)
_REFUSED = re.compile(
    f"[{_ranges(*REFUSED)}]|(?<![^\\x00-\\x7f])[{_ranges(*JOINING)}]"
    f"|[{_ranges(*JOINING)}]{{{MAX_JOINING + 1}}}"
)


def is_name(text: str) -> bool:
    """Return whether something new may have this name: 1–256 UTF-8 bytes, see the module."""
    if text.isascii():
        return text.isprintable() and 0 < len(text) <= MAX_NAME_BYTES
    try:
        return len(text.encode()) <= MAX_NAME_BYTES and not _REFUSED.search(text)
    except UnicodeEncodeError:  # half of a surrogate pair
        return False


def is_text(text: str) -> bool:
    """Return whether something that exists could have this name: any text that is not empty."""
    try:
        return bool(text.encode())
    except UnicodeEncodeError:
        return False


def check_name(field: str, value: Any, *, empty: bool = False) -> str:
    """Check the name of something new, and return it.

    Args:
        field: its name in the message.
        value: of any type.
        empty: whether it may be "".

    Raises:
        InvalidRequest
    """
    if not isinstance(value, str) or not (is_name(value) or (empty and not value)):
        size = f"at most {MAX_NAME_BYTES}" if empty else f"1–{MAX_NAME_BYTES}"
        raise InvalidRequest(f"{field}: a string of {size} UTF-8 bytes, {WITHOUT}")
    return value


def check_known(field: str, value: Any) -> str:
    """Check the name of something that may exist, and return it.

    Raises:
        InvalidRequest
    """
    if not isinstance(value, str) or not is_text(value):
        raise InvalidRequest(f"{field}: a string that is not empty")
    return value


def known_id(value: Any) -> str:
    """Check the id of a session that may exist, and return it.

    Raises:
        InvalidRequest
    """
    return check_known("session_id", value)
