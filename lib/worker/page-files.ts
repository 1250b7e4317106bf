/** Reads the files of the live page, which the build puts beside the program. */
import { createHash } from 'node:crypto'
import { readdir, readFile } from 'node:fs/promises'
import { extname } from 'node:path'
import { promisify } from 'node:util'
import { gzip } from 'node:zlib'
import type { PageFile } from '../ingress/http/page/page-routes.js'
import { systemCode } from '../support/errors.js'

const COMPRESSION_LEVEL = 9
/** Files of other types are not served. */
const CONTENT_TYPES: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.svg': 'image/svg+xml',
  '.png': 'image/png',
  '.ico': 'image/x-icon',
  '.txt': 'text/plain; charset=utf-8'
}

/** dist/page, beside dist/lib. */
export const PAGE_DIRECTORY = new URL('../../page/', import.meta.url)

/** All files directly in the directory; none if there is no such directory, as in a clone that was not built. */
export async function readPageFiles (directory: URL): Promise<PageFile[]> {
  try {
    const entries = await readdir(directory, { withFileTypes: true })
    const names = entries.filter((entry) => entry.isFile() && extname(entry.name) in CONTENT_TYPES)
    return await Promise.all(names.map(async ({ name }) => await readPageFile(directory, name)))
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return []
    throw error
  }
}

async function readPageFile (directory: URL, name: string): Promise<PageFile> {
  const plain = await readFile(new URL(encodeURIComponent(name), directory))
  const compressed = await promisify(gzip)(plain, { level: COMPRESSION_LEVEL })
  return {
    name,
    contentType: CONTENT_TYPES[extname(name)] ?? '',
    plain,
    gzip: compressed.length < plain.length ? compressed : null,
    digest: createHash('sha256').update(plain).digest('base64url').slice(0, 22)
  }
}
