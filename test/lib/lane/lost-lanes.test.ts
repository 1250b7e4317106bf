/** Lanes without writers in a worker: what becomes of them once they are drained, and when the log does not answer. */
import t from 'tap'
import { LostLanes, type LostLanesOptions } from '../../../lib/lane/lost-lanes.js'
import {
  LogError, type FoundStream, type LogFault, type ReplicatedLog, type StreamName
} from '../../../lib/replicated/replicated-log.js'

const LANE = 'ab'.repeat(16)
const STREAM: FoundStream = { lane: LANE, epoch: 2, instance: 'test', slot: 0, after: null }

const drainAll: LostLanesOptions['drain'] = async (lane) => {
  lane.resume(null)
  t.equal(await lane.take(1), null)
}

interface Rig {
  readonly lanes: LostLanes
  readonly removed: StreamName[]
  readonly said: string[]
  /** Resolves with what the next drained lane is reported as. */
  readonly drained: Promise<readonly [lane: string, isRemoved: boolean]>
  /** Resolves with the next lane that is left. */
  readonly left: Promise<string>
}

/** @param fault of reading a stream */
function rigOf (
  list: ReplicatedLog['list'], drain: LostLanesOptions['drain'] = drainAll, fault: LogFault = 'missing'
): Rig {
  const removed: StreamName[] = []
  const said: string[] = []
  const replicated = {
    list,
    last: async () => await Promise.resolve(0),
    next: async () => await Promise.reject(new LogError(fault, fault)),
    remove: async (stream: StreamName) => {
      removed.push(stream)
      await Promise.resolve()
    }
  } as unknown as ReplicatedLog
  let onDrained: LostLanesOptions['onDrained'] = () => {}
  const drained = new Promise<readonly [string, boolean]>((resolve) => {
    onDrained = (...drained) => resolve(drained)
  })
  let onLeft: LostLanesOptions['onLeft'] = () => {}
  const left = new Promise<string>((resolve) => { onLeft = resolve })
  const lanes = new LostLanes({
    replicated,
    config: { spoolMaxBytes: 1_000_000 } as unknown as LostLanesOptions['config'],
    log: {
      info: () => {},
      warn: (_: object, message: string) => { said.push(message) }
    } as unknown as LostLanesOptions['log'],
    onFault: () => {},
    drain,
    onDrained,
    onLeft,
    retryMs: 10
  })
  t.teardown(async () => { await lanes.close() })
  return { lanes, removed, said, drained, left }
}

/** Of a lane that is being read when it is told to end. */
function rigWhileReading (): Rig & { readonly reading: Promise<void>, readonly isOver: () => boolean } {
  let onReading: () => void = () => {}
  const reading = new Promise<void>((resolve) => { onReading = resolve })
  const rig = rigOf(async () => await Promise.resolve([STREAM]), async (lane) => {
    lane.resume(null)
    const taken = lane.take(1)
    onReading()
    t.equal(await taken, null)
  }, 'away')
  let isOver = false
  void rig.drained.then(() => { isOver = true })
  return { ...rig, reading, isOver: () => isOver }
}

t.test('a lane that was closed long ago loses its streams, another one keeps them', async (t) => {
  for (const isOld of [true, false]) {
    const { lanes, removed, drained } = rigOf(async () => await Promise.resolve([STREAM]))
    lanes.add({ lane: LANE, wasOpened: true, isOld })
    t.strictSame(await drained, [LANE, isOld])
    t.strictSame(removed, isOld ? [{ lane: LANE, epoch: 1 }, { lane: LANE, epoch: 2 }] : [])
  }
})

t.test('a shutdown does not wait for what is not read yet: the lane is not over, and is drained again', async (t) => {
  for (const isOld of [true, false]) {
    const { lanes, removed, left, reading, isOver } = rigWhileReading()
    lanes.add({ lane: LANE, wasOpened: true, isOld })
    await reading
    lanes.stop()
    t.equal(await left, LANE)
    t.notOk(isOver())
    t.strictSame(removed, [])
  }
})

t.test('a log that does not answer is logged once for all lanes, and each is left to those that wait', async (t) => {
  let asked = 0
  const { lanes, said, left } = rigOf(async () => {
    asked++
    return await Promise.reject(new LogError('away', 'no answer'))
  })
  for (const lane of [LANE, 'cd'.repeat(16), LANE]) lanes.add({ lane, wasOpened: true, isOld: false })
  await new Promise((resolve) => setImmediate(resolve))
  t.equal(asked, 2, 'a lane is drained once')
  t.strictSame(said, ['a lane of the log cannot be drained; retrying'])
  t.equal(await left, LANE)
  lanes.add({ lane: LANE, wasOpened: true, isOld: false })
  t.equal(asked, 3, 'and may be drained again')
})

t.test('a lane that another process has is left once what was read is stored: it is not over', async (t) => {
  const { lanes, removed, left, reading, isOver } = rigWhileReading()
  lanes.leave(LANE)
  lanes.add({ lane: LANE, wasOpened: true, isOld: true })
  lanes.leave(LANE)
  await reading
  lanes.leave(LANE)
  t.equal(await left, LANE)
  t.notOk(isOver())
  t.strictSame(removed, [])
})
