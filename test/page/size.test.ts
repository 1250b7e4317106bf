/** A page that loads at once over a slow link: everything together, compressed as the server does it. */
import { readdir, readFile } from 'node:fs/promises'
import { gzipSync } from 'node:zlib'
import t from 'tap'

const BYTES_MAX = 150 * 1024

t.test('the page takes less than 150 KB', async (t) => {
  const directory = new URL('../../page/', import.meta.url)
  const entries = await readdir(directory, { withFileTypes: true })
  const names = entries.filter((entry) => entry.isFile()).map(({ name }) => name)
  t.ok(names.includes('index.html'), 'it is built')
  const files = await Promise.all(names.map(async (name) => await readFile(new URL(name, directory))))
  const bytes = files.reduce((sum, file) => sum + gzipSync(file).length, 0)
  t.comment(`${bytes} bytes`)
  t.ok(bytes < BYTES_MAX, `${bytes} bytes`)
})
