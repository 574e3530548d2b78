// An id that is typed to confirm: what no keyboard has, and a field leaves out, need not be typed.
import { visible } from "@/client/visible";

/** Longer ids are not typed to the end. */
const MOST = 40;

export function isTyped(id: string, typed: string): boolean {
  const found = plain(typed);
  if (found === "") return false;
  const beginning = id.length > MOST ? plain(id).slice(0, MOST) : undefined;
  return [plain(id), plain(visible(id)), beginning].includes(found);
}

function plain(text: string): string {
  return text
    .normalize("NFC")
    .replace(/[\p{Cc}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}]/gu, "")
    .trim();
}
