/** Distributing limits to workers: confirmation, and workers that come and go meanwhile. */
import { mock } from 'node:test'
import t from 'tap'
import { LimitsDistribution } from '../../../../lib/primary/limits/limits-distribution.js'
import type { ToWorker } from '../../../../lib/messages/messages.js'
import type { Slot } from '../../../../lib/primary/slots.js'
import type { NumberedLimits } from '../../../../lib/limits/limit-set.js'
import { slotOf } from '../../../support/programs/slots.js'

const limitsOf = (version: number): NumberedLimits => ({ version, set: { default: {}, overrides: {} } })

interface Rig {
  readonly slots: Slot[]
  readonly distribution: LimitsDistribution
  readonly sent: ToWorker[]
}

/** Two workers that serve with version 1. */
function rig (): Rig {
  const slots = [slotOf({ state: 'starting' }), slotOf({ number: 1, state: 'starting' })]
  const sent: ToWorker[] = []
  const distribution = new LimitsDistribution({ all: slots, sendToAll: (message) => { sent.push(message) } })
  distribution.send(limitsOf(1))
  for (const slot of slots) {
    t.equal(distribution.startWith(slot.number).version, 1)
    slot.state = 'ready'
    distribution.serves(slot)
  }
  return { slots, distribution, sent }
}

/** Whether a promise has resolved by the next turn of the event loop. */
async function isSettled (promise: Promise<void>): Promise<boolean> {
  let settled = false
  void promise.then(() => { settled = true })
  await new Promise((resolve) => setImmediate(resolve))
  return settled
}

t.test('a change is confirmed once every serving worker applies it', async (t) => {
  const { slots: [first, second], distribution, sent } = rig()
  t.ok(await isSettled(distribution.confirmed()), 'all agree')
  distribution.send(limitsOf(2))
  t.match(sent.at(-1), { type: 'limits', limits: { version: 2 } })
  const confirmed = distribution.confirmed()
  distribution.confirm(first!, 2)
  t.notOk(await isSettled(confirmed))
  t.strictSame(distribution.versions(), [{ slot: 0, version: 2 }, { slot: 1, version: 1 }])
  distribution.confirm(second!, 2)
  t.ok(await isSettled(confirmed))
})

t.test('a worker that dies holds nothing up, and its successor starts with the current limits', async (t) => {
  const { slots: [first, second], distribution } = rig()
  distribution.send(limitsOf(2))
  const confirmed = distribution.confirmed()
  distribution.confirm(first!, 2)
  second!.state = 'waiting'
  distribution.died(second!)
  t.ok(await isSettled(confirmed))
  t.strictSame(distribution.versions()[1], { slot: 1, version: 0 })
  second!.state = 'starting'
  t.equal(distribution.startWith(1).version, 2)
})

t.test('limits that change while a worker starts', async (t) => {
  const { slots: [first, second], distribution } = rig()
  distribution.died(second!)
  second!.state = 'starting'
  distribution.startWith(1)
  distribution.send(limitsOf(2))
  distribution.confirm(first!, 2)
  second!.state = 'ready'
  distribution.serves(second!)
  const confirmed = distribution.confirmed()
  t.notOk(await isSettled(confirmed), 'it serves with the previous limits')
  distribution.confirm(second!, 2)
  t.ok(await isSettled(confirmed))
})

t.test('a worker that does not confirm: an answer after a second, a complaint after five', async (t) => {
  const { distribution } = rig()
  const startMs = performance.now()
  let passedMs = 0
  t.intercept(performance, 'now', { value: () => startMs + passedMs })
  mock.timers.enable({ apis: ['setTimeout'] })
  t.teardown(() => mock.timers.reset())
  distribution.send(limitsOf(2))
  const confirmed = distribution.confirmed()
  mock.timers.tick(999)
  t.notOk(await isSettled(confirmed))
  mock.timers.tick(1)
  t.ok(await isSettled(confirmed))
  passedMs = 4_999
  t.equal(distribution.complaint(), null)
  passedMs = 5_000
  t.equal(distribution.complaint(), 'workers 0, 1 do not apply the current limits (version 2)')
})

t.test('a worker never serves without limits', (t) => {
  const slots = [slotOf()]
  const distribution = new LimitsDistribution({ all: slots, sendToAll: () => {} })
  t.throws(() => distribution.startWith(0), /limits are known before a worker starts/)
  t.throws(() => distribution.serves(slots[0]!), /worker 0 serves without limits/)
  t.end()
})
