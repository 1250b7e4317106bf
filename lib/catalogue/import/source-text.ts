/** The text of a file to import, in whatever encoding people have. */
import { createReadStream } from 'node:fs'
import type { Remarks } from './remarks.js'

/** Of a file: XTCE databases of large missions have tens of megabytes. */
export const SOURCE_BYTES_MAX = 64 * 1024 * 1024

/** Reads at most one byte too many, by which importCatalogue() tells that it is too large. Throws system errors. */
export async function readSource (file: string): Promise<Buffer> {
  const chunks: Buffer[] = []
  for await (const chunk of createReadStream(file, { end: SOURCE_BYTES_MAX })) chunks.push(chunk as Buffer)
  return Buffer.concat(chunks)
}

/** UTF-8, UTF-16 with a byte order mark, or else Windows-1252, in which spreadsheets often save; without the mark. */
export function decodeSource (bytes: Uint8Array, remarks: Remarks): string {
  const [first, second] = bytes
  if (first === 0xFF && second === 0xFE) return new TextDecoder('utf-16le').decode(bytes)
  if (first === 0xFE && second === 0xFF) return new TextDecoder('utf-16be').decode(bytes)
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes)
  } catch {
    remarks.changed(1, 'the file',
      'it is not UTF-8, and was read as Windows-1252: check ° and other special characters')
    return new TextDecoder('windows-1252').decode(bytes)
  }
}
