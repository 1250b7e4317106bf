import { isUtf8 } from 'node:buffer'

/**
 * The text of a header that a person wrote: percent-encoded UTF-8, which every engine passes on; or UTF-8, else Latin-1
 * as it stands (RFC 9110, 5.5, gives bytes outside of ASCII no meaning). node:http hands over bytes as Latin-1; the
 * packaged uWebSockets.js cuts a value off at the first byte outside of ASCII.
 */
export function headerText (value: string): string {
  const isDecoded = /[^\0-\xff]/.test(value)
  const bytes = isDecoded ? null : Buffer.from(value, 'latin1')
  return percentDecoded(bytes !== null && isUtf8(bytes) ? bytes.toString('utf8') : value)
}

/** Text that does not decode, `100%`, stays as it is. */
function percentDecoded (text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}
