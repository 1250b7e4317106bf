/** Reads files that people name in settings: never more than a bound, whatever the file turns out to be. */
import { open, stat } from 'node:fs/promises'

export type BoundedFile =
  | { readonly text: string, readonly mode: number, readonly problem: null }
  /** A sentence without its subject and full stop. */
  | { readonly text: '', readonly mode: 0, readonly problem: string }

/**
 * Never rejects.
 * @param kinds 'regular': no pipe, at which a server that reads the file again would wait for ever
 */
export async function readBounded (
  path: string, bytesMax: number, kinds: 'any' | 'regular' = 'regular'
): Promise<BoundedFile> {
  const failed = (problem: string): BoundedFile => ({ text: '', mode: 0, problem })
  const tooLarge = failed(kinds === 'any'
    ? `is larger than ${bytesMax} bytes`
    : `is not a regular file, or larger than ${bytesMax} bytes`)
  try {
    if (kinds === 'regular' && !(await stat(path)).isFile()) return tooLarge
    const file = await open(path)
    const { mode } = await file.stat()
    const chunks: Buffer[] = []
    // Closes the file. `end` is the last byte that is read.
    for await (const chunk of file.createReadStream({ end: bytesMax })) chunks.push(chunk as Buffer)
    const bytes = Buffer.concat(chunks)
    return bytes.length > bytesMax ? tooLarge : { text: bytes.toString('utf8'), mode, problem: null }
  } catch (error) {
    return failed(`cannot be read: ${(error as Error).message}`)
  }
}
