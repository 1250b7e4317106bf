/** What is made of a text once for all who need it in a turn. */
import { setImmediate as nextTurn } from 'node:timers/promises'
import t from 'tap'
import { OncePerTurn } from '../../../lib/support/once-per-turn.js'

t.test('once for a text, until the turn ends', async (t) => {
  const made: string[] = []
  const once = new OncePerTurn((text) => {
    made.push(text)
    return Buffer.from(text)
  })
  const first = once.of('a')
  t.equal(once.of('a'), first)
  await Promise.resolve()
  t.equal(once.of('a'), first, 'everything that is due now belongs to the turn')
  t.equal(String(once.of('b')), 'b')
  t.equal(once.of('b'), once.of('b'))
  t.strictSame(made, ['a', 'b'])
  await nextTurn()
  t.not(once.of('b'), first)
  t.strictSame(made, ['a', 'b', 'b'], 'nothing is kept beyond it')
  t.throws(() => new OncePerTurn(() => { throw new RangeError('no') }).of('a'), RangeError)
})
