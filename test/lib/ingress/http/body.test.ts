/** The memory that bodies under way may take together. */
import t from 'tap'
import { BodyReader, BodyWatch } from '../../../../lib/ingress/http/body.js'

const PIECE = Buffer.alloc(10_000, 'x')

t.test('bodies of several chunks share a bound; room comes back when one ends', (t) => {
  const watch = new BodyWatch(60_000, 50_000)
  t.teardown(() => watch.close())
  const outcomes: string[] = []
  const reader = (): BodyReader => new BodyReader(watch, 1_000_000, (body) => outcomes.push(`${body.length} bytes`), (failure) => outcomes.push(failure))
  const first = reader()
  const second = reader()
  const third = reader()
  first.take(PIECE, false)
  second.take(PIECE, false)
  third.take(PIECE, false)
  t.same(outcomes, ['too_busy'], 'two of 20,000 bytes fit, not three')
  third.take(PIECE, true)
  t.same(outcomes, ['too_busy'], 'what comes later is ignored')
  first.take(PIECE, true)
  reader().take(PIECE, false)
  second.drop()
  t.same(outcomes, ['too_busy', '20000 bytes'])
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
  t.same(outcomes, ['20000 bytes', '20000 bytes'])
  t.end()
})
