// Links as we write them into pages: whatever a file is called, they lead to it.

/** `[title](path)` */
export function linkTo(title: string, path: string): string {
  const shown = title.replace(/\s+/g, ' ').replace(/[[\]\\`<]/g, '\\$&');
  const target = encoded(path, /[%?#\\<>\p{Cc}]/gu);
  return `[${shown}](${/[\s()]/.test(target) ? `<${target}>` : target})`;
}

/** A path as the destination of a link that has no `<>`. */
export function destinationOf(path: string): string {
  return encoded(path, /[%?#\\<>()\s\p{Cc}]/gu);
}

function encoded(path: string, signs: RegExp): string {
  const target = path.replace(signs, (sign) =>
    [...Buffer.from(sign)].map((byte) => `%${byte.toString(16).toUpperCase().padStart(2, '0')}`).join(''),
  );
  // What looks like an address, or like an entity, is a name all the same.
  return (/^[a-z][a-z0-9+.-]*:/i.test(target) ? `./${target}` : target).replace(/&(?=#?\w+;)/g, '%26');
}
