// Characters that are not shown as they are: they cannot be seen, or change what stands around them.

/** Joiners and variation selectors, which scripts and emoji need, as the service has them. */
const JOINING = "(?:[\\u180b-\\u180d\\u180f]|[\\u200c-\\u200d]|[\\ufe00-\\ufe0f]|[\\u{e0100}-\\u{e01ef}])";
/** Marks above or below one letter; more of them tower over what stands around, and no language has so many. */
const MOST_MARKS = 8;
/** As names may not have them (docs/protocol.md): joiners are well behind what is not ASCII, two of them at most. */
export const HIDDEN = new RegExp(
  `[\\p{Cc}\\p{Zl}\\p{Zp}]|(?!${JOINING})\\p{Default_Ignorable_Code_Point}` +
    `|(?<!(?!${JOINING})[^\\0-\\x7f]${JOINING}?)${JOINING}|(?<=\\p{M}{${MOST_MARKS}})\\p{M}`,
  "gu",
);

/** Return JSON that says the same, with an escape in place of each of them. */
export function escapeHidden(json: string): string {
  return json.replace(HIDDEN, (one) => one.split("").map(escaped).join(""));
}

const escaped = (unit: string): string => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`;
