import { isUtf8 } from 'node:buffer'

/**
 * Decodes a header with free text: percent-encoded UTF-8, which passes through every engine; otherwise UTF-8, or else
 * Latin-1 (RFC 9110, 5.5, gives bytes outside ASCII no meaning). node:http yields bytes as Latin-1; the bundled
 * uWebSockets.js cuts off a value at the first byte outside ASCII.
 */
export function headerText (value: string): string {
  const isDecoded = /[^\0-\xff]/.test(value)
  const bytes = isDecoded ? null : Buffer.from(value, 'latin1')
  return percentDecoded(bytes !== null && isUtf8(bytes) ? bytes.toString('utf8') : value)
}

/** Returns text that cannot be decoded, like `100%`, unchanged. */
function percentDecoded (text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}
