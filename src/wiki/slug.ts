// Names of headings as links write them.

const NOT_IN_A_SLUG = /[^\p{L}\p{M}\p{N}\p{Pc}\- ]+/gu;
const ASCII = /^[\x20-\x7e]*$/;

/** As GitHub makes them: lower case, letters, digits, `_` and `-`; each space a `-`. */
export function slugOf(heading: string): string {
  if (ASCII.test(heading))
    return heading
      .toLowerCase()
      .replace(/[^a-z0-9_\- ]+/g, '')
      .replaceAll(' ', '-');
  return heading.normalize('NFC').toLowerCase().replace(NOT_IN_A_SLUG, '').replaceAll(' ', '-');
}

/** A heading as Obsidian compares it with the part behind `#`: its signs are spaces. */
export function headingWords(heading: string): string {
  return heading
    .normalize('NFC')
    .toLowerCase()
    .replace(/[!"#$%&()*+,.:;<=>?@^`{|}~/[\]\\\s]+/g, ' ')
    .trim();
}

/** The form in which names are compared: case and the spelling of accents make no difference. */
export function foldName(name: string): string {
  return ASCII.test(name) ? name.toLowerCase() : name.normalize('NFC').toLowerCase().normalize('NFC');
}
