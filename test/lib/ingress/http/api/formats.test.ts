import t from 'tap'
import { randomBytes } from 'node:crypto'
import { gzipSync } from 'node:zlib'
import { unpack, type UnpackFailure } from '../../../../../lib/ingress/http/api/formats.js'

const unpacked = async (body: Buffer, bytesMax: number): Promise<number | UnpackFailure> =>
  await new Promise((resolve) => unpack(body, bytesMax, ({ length }) => resolve(length), resolve))

t.test('bodies that may become more in total than there is memory for are not decompressed at once', async (t) => {
  const bytesMax = 64 * 1024 * 1024
  // May become 64 MB, as far as anybody knows before.
  const body = gzipSync(randomBytes(70_000))
  const run = async (count: number): Promise<Array<number | UnpackFailure>> =>
    await Promise.all(Array.from({ length: count }, async () => await unpacked(body, bytesMax)))
  t.same(await run(6), [70_000, 70_000, 70_000, 70_000, 'too_busy', 'too_busy'])
  t.same(await run(4), [70_000, 70_000, 70_000, 70_000], 'their memory is free again')
  t.equal(await unpacked(Buffer.from('no gzip'), bytesMax), 'invalid_encoding')
  const small = gzipSync(Buffer.alloc(100))
  t.same(await Promise.all(Array.from({ length: 33 }, async () => await unpacked(small, bytesMax))), [
    ...Array<number>(32).fill(100), 'too_busy'
  ])
})
