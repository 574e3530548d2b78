"""Names of sessions, devices, projects, data keys and commands: which texts are allowed.

Names appear in logs, in terminals and in the lists of people, so a *new* one may not contain characters that
make one text look like another or like more than one line:

* control characters (Unicode's category Cc);
* line and paragraph separators (U+2028, U+2029);
* controls that turn the direction of the text around them (U+202A–U+202E, U+2066–U+2069);
* characters that are nothing to see and that no script needs: soft hyphen, zero-width space and no-break space,
  word joiner, invisible operators, the Mongolian vowel separator (U+00AD, U+180E, U+200B, U+2060–U+2064, U+FEFF);
* halves of surrogate pairs, which are no text at all.

Letters of every script, spaces, joiners (U+200C, U+200D: Persian, Hindi and emoji need them) and direction marks are
fine. Names are compared character by character: an accent in one character or in two makes two names.

An *existing* name is another matter. This rule was not always the same, and Redis or an archive may hold a
session that an older version took. It has to be shown, archived, restored and deleted all the same, so a
request that names something existing may use any text (`is_text`): it is found or it is not.
"""

from __future__ import annotations

import re
from typing import Any

from service.errors import InvalidRequest
from service.schema.limits import MAX_NAME_BYTES

#: Refused code points, first and last of each range, without surrogates.
REFUSED = (
    *((0x00, 0x1F), (0x7F, 0x9F), (0xAD, 0xAD), (0x180E, 0x180E), (0x200B, 0x200B)),
    *((0x2028, 0x202E), (0x2060, 0x2064), (0x2066, 0x2069), (0xFEFF, 0xFEFF)),
)
#: In words, for messages.
WITHOUT = "no control characters, line separators, direction controls or invisible characters"

#: A letter of a name as a regular expression of ECMA 262, for published schemas. JSON has no surrogates.
LETTER = "[^" + "".join(f"\\u{first:04X}-\\u{last:04X}" for first, last in REFUSED) + "]"
_REFUSED = re.compile("[" + "".join(f"{chr(first)}-{chr(last)}" for first, last in REFUSED) + "]")


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
