/** Reads an export, and takes what it gets. */
import { request } from 'undici'

export interface ExportedRows {
  readonly rows: number
  readonly seconds: number
}

const LINE_END = 10

/** Rejects if it fails, or ends before it is complete. @param url of GET /export */
export async function readExport (url: string): Promise<ExportedRows> {
  const startMs = performance.now()
  const { statusCode, body } = await request(url, { headers: { accept: 'text/csv' }, bodyTimeout: 0 })
  if (statusCode !== 200) throw new Error(`the export was refused: ${statusCode} ${await body.text()}`)
  // The header is a line too.
  let rows = -1
  for await (const chunk of body as AsyncIterable<Buffer>) {
    for (let at = chunk.indexOf(LINE_END); at >= 0; at = chunk.indexOf(LINE_END, at + 1)) rows++
  }
  return { rows, seconds: (performance.now() - startMs) / 1000 }
}
