/** Rolling restarts: what stops one, and what becomes of a worker that leaves points behind. */
import t from 'tap'
import { RollingRestart, versionHindrance } from '../../../../lib/primary/rolling/rolling-restart.js'
import type { Slot } from '../../../../lib/primary/slots.js'
import type { ToWorker } from '../../../../lib/messages/messages.js'
import { silentLog } from '../../../support/database/postgres.js'
import { reportOf, slotOf } from '../../../support/programs/slots.js'

interface Rig {
  readonly all: Slot[]
  readonly restart: RollingRestart
  readonly successors: number[]
  readonly sent: ToWorker[]
}

interface Fates {
  /** Why the successor of this slot does not start. */
  readonly refusals?: Readonly<Record<number, string>>
  /** How this slot dies instead of retiring. */
  readonly deaths?: Readonly<Record<number, string>>
}

function rigOf (slots: readonly Slot[], { refusals = {}, deaths = {} }: Fates = {}): Rig {
  const all = [...slots]
  const successors: number[] = []
  const sent: ToWorker[] = []
  const restart = new RollingRestart({
    log: silentLog,
    refresh: async () => { await Promise.resolve() },
    slots: {
      all,
      send: (_, message) => sent.push(message) > 0,
      startSuccessor: async (of, number) => {
        successors.push(number)
        const refusal = refusals[of.number]
        if (refusal !== undefined) return await Promise.resolve(refusal)
        const slot = slotOf({ number, listener: of.listener })
        all.splice(all.indexOf(of) + 1, 0, slot)
        return slot
      },
      retire: async (slot) => {
        all.splice(all.indexOf(slot), 1)
        return await Promise.resolve(deaths[slot.number] ?? null)
      }
    }
  })
  return { all, restart, successors, sent }
}

const failing = { state: 'retrying', lastError: 'no connection', retries: 1 } as const

t.test('nothing is replaced while something is wrong, and the outcome says what', async (t) => {
  const cases = [
    [[slotOf(), slotOf({ number: 1, state: 'waiting' })], /^Worker 1 is waiting; restart again when \/health is healthy/],
    [[slotOf({ report: reportOf({ database: failing }) })], /^Database writes are failing \(no connection\); restart/]
  ] as const
  for (const [slots, message] of cases) {
    const { restart, successors } = rigOf(slots)
    t.match(await restart.run(), { ok: false, message })
    t.match(restart.fault, message)
    t.strictSame(successors, [])
  }
  t.match(versionHindrance('1.0.0', '1.1.0'), /runs version 1\.0\.0, but the program on disk is version 1\.1\.0/)
})

t.test('a successor that does not start stops it; the next restart forgets that', async (t) => {
  const refusals: Record<number, string> = { 1: 'no such file' }
  const { restart, all, successors } = rigOf([slotOf(), slotOf({ number: 1 })], { refusals })
  t.match(await restart.run(), {
    ok: false, message: 'The worker that was to replace worker 1 failed: no such file'
  })
  t.strictSame(successors, [2, 0], 'a number is free once its worker is gone')
  t.strictSame(all.map(({ number }) => number), [2, 1])
  delete refusals[1]
  t.match(await restart.run(), { ok: true })
  t.equal(restart.fault, null)
})

t.test('the number of a worker that leaves points behind is not used again, and its spool is drained', async (t) => {
  const slots = [slotOf(), slotOf({ number: 1, report: reportOf({ waiting: 3 }) }), slotOf({ number: 2 })]
  const { restart, all, successors, sent } = rigOf(slots, { deaths: { 2: 'signal SIGKILL' } })
  t.match(await restart.run(), { ok: true })
  t.strictSame(successors, [3, 0, 4], 'that of worker 1 is not free')
  t.strictSame(all.map(({ number }) => number), [3, 0, 4])
  t.strictSame(sent, [
    { type: 'orphans', slotsInUse: [3, 1, 2, 0] },
    { type: 'orphans', slotsInUse: [3, 0, 2] },
    { type: 'orphans', slotsInUse: [3, 0, 4] }
  ], 'the first worker looks after what has no worker, except a slot known to be empty')
})
