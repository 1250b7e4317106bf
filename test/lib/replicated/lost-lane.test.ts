/** A lane whose writer is gone: what is said of it if somebody has deleted its streams, and that it is read whole. */
import t from 'tap'
import { openLostLane, type LostLane } from '../../../lib/replicated/lost-lane.js'
import type { LedgerPosition } from '../../../lib/journal/journal.js'
import { encodePart } from '../../../lib/replicated/message.js'
import { markOf, numberFrame } from '../../../lib/replicated/publish/pending.js'
import { START } from '../../../lib/replicated/publish/comparison.js'
import { epochIdOf, LogError, type Reach } from '../../../lib/replicated/replicated-log.js'
import { FakeLog, FakeServers, pump } from './fake-log.js'

const LANE = 'ab'.repeat(16)

interface History {
  /** Where the ledger stands. */
  readonly stored: { readonly epoch: number, readonly sequence: number } | null
  /** Streams that are left, by epoch, and where the one before each ended. */
  readonly left: ReadonlyArray<{ readonly epoch: number, readonly after: Reach | null }>
  readonly hadStreams?: boolean
}

async function open (log: FakeLog, faults: string[], hadStreams = true): Promise<LostLane> {
  return await pump(log, openLostLane(log, {
    log,
    timing: log,
    lane: LANE,
    now: () => 1,
    maxBytes: 1_000_000,
    quietMs: 0,
    hadStreams,
    onFault: (message) => { faults.push(message) }
  }))
}

/** Drains the lane, and returns what it said. */
async function said ({ stored, left, hadStreams = true }: History): Promise<readonly string[]> {
  const log = new FakeLog(new FakeServers(), () => 0)
  for (const found of left) await pump(log, log.create({ lane: LANE, instance: 'test', slot: 0, ...found }))
  const faults: string[] = []
  const lane = await open(log, faults, hadStreams)
  const position: LedgerPosition | null =
    stored === null ? null : { ...stored, epochId: epochIdOf({ lane: LANE, epoch: stored.epoch }) }
  t.equal(lane.resume(position), null)
  t.equal(await pump(log, lane.take(1_000)), null)
  await pump(log, lane.close())
  return faults
}

t.test('all streams: how far the lane is stored, for nobody knows what followed', async (t) => {
  t.match(await said({ stored: null, left: [] }),
    [/its stream is no longer in the log: it was deleted; nothing was read of it, and what followed is lost/])
  t.match(await said({ stored: { epoch: 2, sequence: 30 }, left: [] }),
    [/it was read up to frame 30 of epoch 2, and what followed is lost/])
})

t.test('the first of two epochs: exactly what is missing', async (t) => {
  const left = [{ epoch: 2, after: { sequence: 100, rows: 250 } }]
  t.match(await said({ stored: null, left }), [/frames 1 to 100 of epoch 1 are no longer in the log, 250 points/])
  t.match(await said({ stored: { epoch: 1, sequence: 60 }, left }), [/frames 61 to 100 of epoch 1 are no longer in the log:/])
})

t.test('nothing, if nothing is missing', async (t) => {
  t.strictSame(await said({ stored: null, left: [], hadStreams: false }), [], 'its writer died before it had a stream')
  const left = [{ epoch: 2, after: { sequence: 100, rows: 250 } }]
  t.strictSame(await said({ stored: { epoch: 1, sequence: 100 }, left }), [])
  t.strictSame(await said({ stored: { epoch: 2, sequence: 7 }, left }), [])
})

t.test('a lane is found while a stream of another one has no leader', async (t) => {
  const log = new FakeLog(new FakeServers(), () => 0)
  await pump(log, log.create({ lane: LANE, epoch: 1, instance: 'test', slot: 0, after: null }))
  const list = log.list.bind(log)
  log.list = async (lane) => {
    if (lane === undefined) throw new LogError('away', 'the list lacks 1 streams')
    return await list(lane)
  }
  const lane = await open(log, [])
  t.equal(lane.resume(null), null)
  t.equal(await pump(log, lane.take(1_000)), null)
  t.ok(lane.isRead)
  await pump(log, lane.close())
})

t.test('a lane whose stream has no leader for a minute is left, and is not over: others may wait', async (t) => {
  const log = new FakeLog(new FakeServers(), () => 0)
  await pump(log, log.create({ lane: LANE, epoch: 1, instance: 'test', slot: 0, after: null }))
  const lane = await open(log, [])
  t.equal(lane.resume(null), null)
  log.next = async () => await Promise.reject(new LogError('away', 'no leader'))
  const pause = log.pause.bind(log)
  log.pause = async () => {
    log.advance(1_000)
    await pause()
  }
  t.equal(await pump(log, lane.take(1_000)), null)
  t.ok(lane.isLeft)
  t.notOk(lane.isRead)
  t.equal(log.nowMs(), 60_000)
  await pump(log, lane.close())
})

t.test('all that is read at a time is held in memory', async (t) => {
  const log = new FakeLog(new FakeServers(), () => 0)
  const stream = { lane: LANE, epoch: 1 }
  await pump(log, log.create({ ...stream, instance: 'test', slot: 0, after: null }))
  let before = START
  for (let count = 0; count < 3; count++) {
    const batch = { payload: Buffer.alloc(200), rows: 1, spooled: () => {}, committed: () => {} }
    const frame = numberFrame({ batch, queuedMs: 0, wasAnswered: false }, before,
      { epoch: 1, rowFormat: 1, committed: 0, messageBytesMax: log.messageBytesMax, appendedAtMs: 1 })
    before = markOf(frame)
    await pump(log, log.append(stream, frame.first, encodePart(frame, 0, log.messageBytesMax)))
  }
  const lane = await open(log, [])
  t.equal(lane.resume(null), null)
  t.match(await pump(log, lane.take(10_000)), { firstSequence: 1, lastSequence: 3 })
  await pump(log, lane.close())
})
