/** The memory that incomplete bodies may use together. */
import t from 'tap'
import {
  BodyReader, BodyWatch, CHUNKS_MAX, CHUNK_BYTES, LARGE_BODY_BYTES, TINY_CHUNKS_MAX, TINY_CHUNK_BYTES
} from '../../../../../lib/ingress/http/engines/body.js'

const PIECE = Buffer.alloc(10_000, 'x')
const REST = Buffer.alloc(6_000, 'x')

function readerOf (watch: BodyWatch, outcomes: string[], bytesMax = 1_000_000): BodyReader {
  const onBody = (body: Buffer): void => { outcomes.push(`${body.length} bytes`) }
  return new BodyReader(watch, bytesMax, onBody, (failure) => outcomes.push(failure))
}

t.test('bodies in several chunks share a limit; memory is returned when one ends', (t) => {
  const watch = new BodyWatch(60_000, 40_000)
  t.teardown(() => watch.close())
  const outcomes: string[] = []
  const reader = (): BodyReader => readerOf(watch, outcomes)
  const first = reader()
  const second = reader()
  const third = reader()
  first.take(PIECE, false)
  second.take(PIECE, false)
  third.take(PIECE, false)
  t.same(outcomes, ['too_busy'], 'enough for two of 16 KB, not for three')
  third.take(PIECE, true)
  t.same(outcomes, ['too_busy'], 'later chunks are ignored')
  first.take(REST, true)
  reader().take(PIECE, false)
  second.drop()
  t.same(outcomes, ['too_busy', '16000 bytes'])
  t.end()
})

t.test('large bodies leave room for small ones', (t) => {
  const roomBytes = 1024 * 1024
  const watch = new BodyWatch(60_000, 8 * roomBytes)
  t.teardown(() => watch.close())
  const outcomes: string[] = []
  const large = Array.from({ length: 8 }, () => readerOf(watch, outcomes))
  for (const each of large) each.take(Buffer.alloc(roomBytes - 100_000), false)
  t.same(outcomes, ['too_busy'], 'seven of them')
  const small = Array.from({ length: 16 }, () => readerOf(watch, outcomes))
  for (const each of small) each.take(Buffer.alloc(60_000), false)
  t.same(outcomes, ['too_busy'])
  readerOf(watch, outcomes).take(PIECE, false)
  t.same(outcomes, ['too_busy', 'too_busy'], 'all that there is')
  t.end()
})

t.test('a single body gets the memory it needs, whatever the limit', (t) => {
  const watch = new BodyWatch(60_000, 100)
  t.teardown(() => watch.close())
  const outcomes: string[] = []
  for (let turn = 0; turn < 2; turn++) {
    const reader = readerOf(watch, outcomes)
    reader.take(PIECE, false)
    reader.take(REST, true)
  }
  t.same(outcomes, ['16000 bytes', '16000 bytes'])
  t.end()
})

t.test('slow bodies need little memory each', (t) => {
  const watch = new BodyWatch(60_000, 110_000)
  t.teardown(() => watch.close())
  const outcomes: string[] = []
  for (let body = 0; body < 100; body++) readerOf(watch, outcomes).take(Buffer.from('{'), false)
  t.same(outcomes, [], 'a hundred of 1 KB')
  t.end()
})

t.test('the memory of one body is reused for the next', (t) => {
  const watch = new BodyWatch(60_000)
  t.teardown(() => watch.close())
  const seen: Array<{ text: string, memory: ArrayBufferLike }> = []
  for (const letter of ['a', 'b']) {
    const onBody = (body: Buffer): void => { seen.push({ text: body.toString(), memory: body.buffer }) }
    const reader = new BodyReader(watch, 1_000_000, onBody, () => t.fail('refused'))
    for (let piece = 0; piece < 5; piece++) reader.take(Buffer.alloc(10_000, letter), piece === 4)
  }
  t.same(seen.map(({ text }) => text), ['a'.repeat(50_000), 'b'.repeat(50_000)])
  t.equal(seen[0]?.memory, seen[1]?.memory)
  t.end()
})

t.test('memory is returned if onBody throws', (t) => {
  const watch = new BodyWatch(60_000, 20_000)
  t.teardown(() => watch.close())
  const failures: string[] = []
  const reader = (onBody: () => void): BodyReader => (
    new BodyReader(watch, 1_000_000, onBody, (failure) => failures.push(failure))
  )
  const bad = reader(() => { throw new Error('no') })
  bad.take(PIECE, false)
  t.throws(() => bad.take(REST, true), /no/)
  reader(() => {}).take(PIECE, false)
  t.same(failures, [], 'all memory is available again')
  t.end()
})

t.test('a body has a bounded number of chunks, however small', async (t) => {
  const watch = new BodyWatch(60_000)
  t.teardown(() => watch.close())
  const outcomes: string[] = []
  const send = async (chunks: number, ...pieces: readonly Buffer[]): Promise<string | undefined> => {
    const reader = readerOf(watch, outcomes)
    for (let chunk = 1; chunk <= chunks; chunk++) reader.take(pieces[chunk % pieces.length]!, chunk === chunks)
    await new Promise((resolve) => setImmediate(resolve))
    return outcomes.splice(0)[0]
  }
  const byte = Buffer.from('x')
  t.equal(await send(TINY_CHUNKS_MAX, byte), `${TINY_CHUNKS_MAX} bytes`)
  t.equal(await send(2 * TINY_CHUNKS_MAX, byte), 'too_many_chunks')
  const line = Buffer.alloc(2 * TINY_CHUNK_BYTES)
  t.equal(await send(CHUNKS_MAX, line, byte), `${CHUNKS_MAX / 2 * (line.length + 1)} bytes`, 'lines and their ends')
  t.equal(await send(2 * CHUNKS_MAX, line, byte), 'too_many_chunks')
  const slow = readerOf(watch, outcomes, 2 * CHUNKS_MAX * CHUNK_BYTES)
  const segment = Buffer.alloc(CHUNK_BYTES)
  for (let chunk = 1; chunk <= 2 * CHUNKS_MAX; chunk++) slow.take(segment, false)
  t.same(outcomes, [], 'a slow link may deliver a large body in many segments')
  slow.drop()
})

t.test('large bodies are passed on one a turn of the event loop, small ones at once', async (t) => {
  const roomBytes = 2 * LARGE_BODY_BYTES
  const watch = new BodyWatch(60_000, 4 * roomBytes)
  t.teardown(() => watch.close())
  const outcomes: string[] = []
  const complete = (): BodyReader => {
    const reader = readerOf(watch, outcomes)
    reader.take(Buffer.alloc(LARGE_BODY_BYTES), false)
    reader.take(PIECE, true)
    return reader
  }
  const turn = async (): Promise<void> => { await new Promise((resolve) => setImmediate(resolve)) }
  complete()
  const aborted = complete()
  complete()
  readerOf(watch, outcomes).take(PIECE, true)
  t.same(outcomes.splice(0), [`${PIECE.length} bytes`])
  aborted.fail('aborted')
  const seen: string[][] = []
  for (let left = 3; left > 0; left--) {
    await turn()
    seen.push(outcomes.splice(0))
  }
  const bytes = `${LARGE_BODY_BYTES + PIECE.length} bytes`
  t.same(seen, [['aborted', bytes], [], [bytes]])
  for (let left = 3; left > 0; left--) complete()
  await turn()
  t.same(outcomes, [bytes], 'all memory is available again')
})
