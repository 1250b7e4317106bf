/** Who drains what is left over when workers die. */
import t from 'tap'
import { passOn, slotsInUse } from '../../../lib/primary/leftovers.js'
import type { Slot } from '../../../lib/primary/slots.js'
import { reportOf, slotOf } from '../../support/programs/slots.js'

/** What is sent when the worker dies: the drainer, and the slots that it is to leave alone. */
function sentFor (all: readonly Slot[], dead: Slot): Array<readonly [number, readonly number[]]> {
  const sent: Array<readonly [number, readonly number[]]> = []
  passOn({
    all,
    send: ({ number }, message) => {
      if (message.type === 'orphans') sent.push([number, message.slotsInUse])
      return true
    }
  }, dead)
  return sent
}

const broken = { state: 'waiting', quickDeaths: 5 } as const

t.test('the first worker drains what is left over, unless another one does', (t) => {
  const first = slotOf({ report: reportOf({ orphans: [4] }) })
  t.strictSame(slotsInUse([first, slotOf({ number: 1, report: reportOf({ orphans: [5] }) })], first), [0, 1, 5])
  t.end()
})

t.test('while the first worker is broken, another one drains what is left over', (t) => {
  const first = slotOf({ ...broken, quickDeaths: 4, report: reportOf({ orphans: [4] }) })
  const others = [slotOf({ number: 1, state: 'starting' }), slotOf({ number: 2 })]
  t.strictSame(sentFor([first, ...others], first), [], 'it is started again')
  first.quickDeaths = 5
  t.strictSame(sentFor([first, ...others], first), [[2, [0, 1, 2]]])
  t.strictSame(sentFor([first], first), [], 'there is no other')
  t.end()
})

t.test('if a worker dies that drains what is left over, the first takes over, or another one', (t) => {
  const dead = slotOf({ number: 1, state: 'waiting', report: reportOf({ orphans: [5] }) })
  const last = slotOf({ number: 2, report: reportOf({ orphans: [6] }) })
  t.strictSame(sentFor([slotOf(), dead, last], dead), [[0, [1, 0, 2, 6]]])
  t.strictSame(sentFor([slotOf(broken), dead, last], dead), [[2, [1, 0, 2]]])
  dead.report = reportOf()
  t.strictSame(sentFor([slotOf(), dead, last], dead), [], 'it drained nothing else')
  t.end()
})
