/** Single histories of a lane's writer that the model test reaches at random only. */
import t from 'tap'
import type { ErrorCode } from '../../../lib/support/errors.js'
import type { ClosedBatch } from '../../../lib/journal/journal.js'
import { LogJournal } from '../../../lib/replicated/log-journal.js'
import { LogError } from '../../../lib/replicated/replicated-log.js'
import { encodeSeal } from '../../../lib/replicated/message.js'
import { POSITION_START } from '../../../lib/spool/format/position.js'
import { FakeLog, FakeServers, flush, pump } from './fake-log.js'

const LANE = 'ab'.repeat(16)
const inOrder = (): number => 0

class Batch implements ClosedBatch {
  readonly payload: Buffer
  readonly rows = 2
  answer: ErrorCode | null | undefined = undefined

  constructor (readonly name: string, bytes = 20) {
    this.payload = Buffer.from(name.padEnd(bytes))
  }

  spooled (error: ErrorCode | null): void {
    this.answer = error
  }

  committed (): void {}
}

interface Rig {
  readonly servers: FakeServers
  readonly log: FakeLog
  readonly journal: LogJournal
  readonly faults: string[]
  append (...names: readonly string[]): Batch[]
  /** Performs everything that waits. */
  settle (): Promise<void>
}

async function rigOf (maxBytes = 1_000_000): Promise<Rig> {
  const servers = new FakeServers()
  const log = new FakeLog(servers, inOrder)
  const faults: string[] = []
  const journal = new LogJournal({
    log,
    timing: log,
    lane: LANE,
    instance: 'test',
    slot: 0,
    rowFormat: 1,
    now: () => 1,
    memoryMaxBytes: 100_000,
    maxBytes,
    onFault: (message) => { faults.push(message) }
  })
  await pump(log, journal.opened())
  journal.resume(null)
  journal.resume(POSITION_START)
  const append = (...names: readonly string[]): Batch[] => names.map((name) => {
    const batch = new Batch(name)
    journal.append(batch)
    return batch
  })
  const settle = async (): Promise<void> => {
    await flush()
    for (let steps = 0; log.pending > 0 && steps < 1000; steps++) {
      log.step()
      await flush()
    }
  }
  return { servers, log, journal, faults, append, settle }
}

function messages ({ servers }: Rig, epoch: number): Array<Buffer | null> {
  return servers.streams.get(`${LANE}/${epoch}`)?.messages ?? []
}

const answers = (batches: readonly Batch[]): unknown[] => batches.map(({ answer }) => answer)

t.test('a message that lands behind the seal is not taken for stored', async (t) => {
  const rig = await rigOf()
  const first = rig.append('one')
  await rig.settle()
  t.strictSame(answers(first), [null])
  // Both are under way when the seal takes the place of the first: the second one fits behind the seal.
  const later = rig.append('two', 'three')
  messages(rig, 1).push(encodeSeal(1, 2))
  await rig.settle()
  t.equal(messages(rig, 1).length, 3, 'one, the seal, three')
  t.strictSame(answers(later), [null, null])
  t.equal(messages(rig, 2).length, 2, 'both are in the next epoch')
  const taken = []
  for (let run = 0; run < 2; run++) taken.push(await rig.journal.take(1000))
  t.match(taken, [{ epoch: 1, firstSequence: 1, lastSequence: 1 }, { epoch: 2, firstSequence: 1, lastSequence: 2 }])
  t.strictSame(rig.faults, [])
})

t.test('a full log refuses what it has refused each time, and takes what comes later', async (t) => {
  const rig = await rigOf()
  rig.servers.isFull = true
  const refused = rig.append('one', 'two')
  await rig.settle()
  t.strictSame(answers(refused), ['spool_full', 'spool_full'])
  t.equal(rig.journal.pressure(), 'hard')
  rig.servers.isFull = false
  rig.log.advance(1_001)
  const taken = rig.append('three')
  await rig.settle()
  t.strictSame(answers(taken), [null])
  t.match(await rig.journal.take(1000), { epoch: 1, firstSequence: 1, lastSequence: 1, rows: 2 })
})

t.test('a silent log: what was sent is in doubt, what was not is refused, and it recovers by itself', async (t) => {
  const rig = await rigOf()
  const batches = rig.append('1', '2', '3', '4', '5', '6')
  rig.log.advance(9_000)
  rig.journal.checkTimeout()
  const inDoubt = Array.from({ length: 4 }, () => 'log_unanswered')
  t.strictSame(answers(batches), [...inDoubt, 'log_unavailable', 'log_unavailable'])
  t.equal(rig.journal.pressure(), 'hard')
  t.equal(rig.journal.outage(), 'log_unavailable')
  t.match(rig.journal.backlog(), { frames: 4, rows: 0 })
  await rig.settle()
  t.equal(rig.journal.pressure(), 'none')
  t.match(await rig.journal.take(1000), { firstSequence: 1, lastSequence: 4 }, 'they were stored after all')
  t.equal(rig.journal.recoveredRows, 8)
})

t.test('a log that can be read but takes nothing is away until it takes something, and says so once', async (t) => {
  const rig = await rigOf()
  const append = rig.log.append.bind(rig.log)
  rig.log.append = async () => {
    await rig.log.pause()
    throw new LogError('away', 'no majority')
  }
  const first = rig.append('one')
  rig.log.advance(9_000)
  rig.journal.checkTimeout()
  t.strictSame(answers(first), ['log_unanswered'])
  for (let steps = 0; steps < 30; steps++) {
    rig.log.step()
    await flush()
    t.equal(rig.journal.outage(), 'log_unavailable')
    rig.journal.checkTimeout()
  }
  t.strictSame(rig.faults, [])
  rig.log.append = append
  await rig.settle()
  t.equal(rig.journal.outage(), null)
  t.match(rig.faults, [/it answers again/])
  t.equal(rig.faults.length, 1)
  const later = rig.append('two')
  await rig.settle()
  t.strictSame(answers(later), [null])
})

t.test('a log that lost its end: what is in memory is stored first, then a new epoch begins', async (t) => {
  const rig = await rigOf()
  const kept = rig.append('one', 'two', 'three')
  await rig.settle()
  messages(rig, 1).splice(1)
  const later = rig.append('four')
  await flush()
  for (let steps = 0; steps < 40; steps++) {
    rig.log.step()
    await flush()
  }
  t.strictSame(answers([...kept, ...later]), [null, null, null, 'log_unanswered'], 'another drain may have read it')
  const last = rig.append('five')
  await flush()
  t.strictSame(answers(last), [undefined], 'waits for the drain')
  const run = await rig.journal.take(1000)
  t.match(run, { epoch: 1, firstSequence: 1, lastSequence: 3 })
  if (run !== null) rig.journal.release(run)
  await rig.settle()
  t.strictSame(answers(last), [null])
  t.match(await rig.journal.take(1000), { epoch: 2, firstSequence: 1, lastSequence: 1 })
  t.match(rig.faults, [/has lost messages that it had/])
})

t.test('a deleted stream: what was under way is in doubt, what was acknowledged is stored from memory', async (t) => {
  const rig = await rigOf()
  const kept = rig.append('one')
  await rig.settle()
  rig.servers.streams.clear()
  const lost = rig.append('two')
  await flush()
  for (let steps = 0; steps < 40; steps++) {
    rig.log.step()
    await flush()
  }
  const run = await rig.journal.take(1000)
  if (run !== null) rig.journal.release(run)
  await rig.settle()
  t.strictSame(answers([...kept, ...lost]), [null, 'log_unanswered'])
  const later = rig.append('three')
  await rig.settle()
  t.strictSame(answers(later), [null])
  t.match(rig.faults, [/the stream is gone/])
})

t.test('a lane is full at its share, and has room again once frames are committed and trimmed', async (t) => {
  const rig = await rigOf(150)
  const batches = rig.append('one', 'two', 'three')
  await rig.settle()
  t.strictSame(answers(batches), [null, null, 'spool_full'])
  const run = await rig.journal.take(1000)
  if (run !== null) rig.journal.release(run)
  await rig.settle()
  t.strictSame(messages(rig, 1).map((message) => message !== null), [false, true], 'the last message stays')
  const later = rig.append('four')
  await rig.settle()
  t.strictSame(answers(later), [null])
})
