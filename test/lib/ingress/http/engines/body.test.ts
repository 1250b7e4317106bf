/** The memory that bodies under way may take together. */
import t from 'tap'
import { BodyReader, BodyWatch } from '../../../../../lib/ingress/http/engines/body.js'

const PIECE = Buffer.alloc(8_000, 'x')

t.test('bodies of several chunks share a bound; room comes back when one ends', (t) => {
  const watch = new BodyWatch(60_000, 40_000)
  t.teardown(() => watch.close())
  const outcomes: string[] = []
  const reader = (): BodyReader => new BodyReader(watch, 1_000_000, (body) => outcomes.push(`${body.length} bytes`), (failure) => outcomes.push(failure))
  const first = reader()
  const second = reader()
  const third = reader()
  first.take(PIECE, false)
  second.take(PIECE, false)
  third.take(PIECE, false)
  t.same(outcomes, ['too_busy'], 'room for two of 16 KB, not for three')
  third.take(PIECE, true)
  t.same(outcomes, ['too_busy'], 'what comes later is ignored')
  first.take(PIECE, true)
  reader().take(PIECE, false)
  second.drop()
  t.same(outcomes, ['too_busy', '16000 bytes'])
  t.end()
})

t.test('a body alone gets what it needs, whatever the bound', (t) => {
  const watch = new BodyWatch(60_000, 100)
  t.teardown(() => watch.close())
  const outcomes: string[] = []
  for (let turn = 0; turn < 2; turn++) {
    const reader = new BodyReader(watch, 1_000_000, (body) => outcomes.push(`${body.length} bytes`), (failure) => outcomes.push(failure))
    reader.take(PIECE, false)
    reader.take(PIECE, true)
  }
  t.same(outcomes, ['16000 bytes', '16000 bytes'])
  t.end()
})

t.test('room of one body is used for the next', (t) => {
  const watch = new BodyWatch(60_000)
  t.teardown(() => watch.close())
  const seen: Array<{ text: string, memory: ArrayBufferLike }> = []
  for (const letter of ['a', 'b']) {
    const reader = new BodyReader(watch, 1_000_000, (body) => seen.push({ text: body.toString(), memory: body.buffer }), () => t.fail('refused'))
    for (let piece = 0; piece < 5; piece++) reader.take(Buffer.alloc(10_000, letter), piece === 4)
  }
  t.same(seen.map(({ text }) => text), ['a'.repeat(50_000), 'b'.repeat(50_000)])
  t.equal(seen[0]?.memory, seen[1]?.memory)
  t.end()
})

t.test('room comes back when the one who takes the body throws', (t) => {
  const watch = new BodyWatch(60_000, 20_000)
  t.teardown(() => watch.close())
  const failures: string[] = []
  const reader = (onBody: () => void): BodyReader => new BodyReader(watch, 1_000_000, onBody, (failure) => failures.push(failure))
  const bad = reader(() => { throw new Error('no') })
  bad.take(PIECE, false)
  t.throws(() => bad.take(PIECE, true), /no/)
  reader(() => {}).take(PIECE, false)
  t.same(failures, [], 'the whole room is there again')
  t.end()
})
