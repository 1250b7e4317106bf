/** Senders of a key: numbers that are believed, replays that change nothing, and what outlives a process. */
import fc from 'fast-check'
import t from 'tap'
import { KeyedSenders, SENDERS_PER_KEY_MAX } from '../../../../lib/ingress/udp/keyed-senders.js'
import { SenderTable, type SequenceTotals, type SenderSummary } from '../../../../lib/ingress/udp/senders.js'
import { SEQUENCE_WINDOW } from '../../../../lib/ingress/udp/window.js'

function tableOf (): { table: KeyedSenders, totals: SequenceTotals } {
  const { totals } = new SenderTable()
  return { table: new KeyedSenders(totals), totals }
}

function summaryOf (table: KeyedSenders, name = 's'): SenderSummary {
  const [summary] = table.summary(name, 'key')
  if (summary === undefined) throw new Error(`no ${name}`)
  return summary
}

t.test('one packet is enough for a restart or a jump, and nothing older is accepted again', (t) => {
  const { table, totals } = tableOf()
  let nowMs = 1_000
  const observe = (epoch: number, seq: number): string => table.observe('s', epoch, seq, nowMs++)
  t.strictSame([[7, 0], [7, 2], [7, 2], [7, 1], [7, 10_000], [7, 9_999]].map(([epoch = 0, seq = 0]) => (
    observe(epoch, seq))), ['fresh', 'fresh', 'duplicate', 'late', 'fresh', 'late'])
  t.equal(observe(7, 10_000 - SEQUENCE_WINDOW), 'stale')
  t.equal(observe(7, 10_001 - SEQUENCE_WINDOW), 'late')
  t.match(summaryOf(table), { key: 'key', epoch: 7, highest: 10_000, received: 6, missing: 9_995, confirmed: true })
  t.equal(observe(9, 1), 'fresh')
  t.match(summaryOf(table), { epoch: 9, first: 0, highest: 1, received: 1, missing: 1, restarts: 1, other_lives: [] })
  for (const seq of [0, 1, 10_001, Number.MAX_SAFE_INTEGER]) t.equal(observe(8, seq), 'stale')
  t.equal(observe(10, SEQUENCE_WINDOW + 5), 'fresh')
  t.equal(observe(10, SEQUENCE_WINDOW + 4), 'stale', 'below the first, where nothing was heard')
  t.match(totals, { restarts: 2, gaps: 9_998 + 1, late: 3, duplicates: 1, stale: 6, strays: 0 })
  t.end()
})

t.test('the highest numbers there are', (t) => {
  const { table, totals } = tableOf()
  const most = Number.MAX_SAFE_INTEGER
  t.equal(table.observe('s', most, 0, 0), 'fresh')
  t.equal(table.observe('s', most, most, 0), 'fresh')
  t.equal(table.observe('s', most, most, 0), 'duplicate')
  t.equal(table.observe('s', most, most - 1, 0), 'late')
  t.equal(totals.gaps, most - 1)
  t.end()
})

t.test('replays change no number of the sender, nor when it was seen', (t) => {
  const { table } = tableOf()
  for (const seq of [0, 5, 6_000]) table.observe('s', 7, seq, 1_000)
  const { stale: _stale, duplicates: _duplicates, ...before } = summaryOf(table)
  for (const seq of [0, 5, 6_000, 100]) table.observe('s', 7, seq, 9_000)
  for (const epoch of [0, 6]) table.observe('s', epoch, 6_001, 9_000)
  const { stale, duplicates, ...after } = summaryOf(table)
  t.strictSame(after, before)
  t.strictSame([stale, duplicates], [5, 1])
  t.end()
})

t.test('a sender that was removed does not come back by a replay', (t) => {
  const { table, totals } = tableOf()
  const count = SENDERS_PER_KEY_MAX + 10
  for (let sender = 0; sender < count; sender++) table.observe(`s${sender}`, 100 + sender, 0, sender)
  t.equal(table.size, SENDERS_PER_KEY_MAX)
  t.equal(totals.evicted, 10)
  for (let sender = 0; sender < 10; sender++) t.equal(table.observe(`s${sender}`, 100 + sender, 1, 0), 'stale')
  t.equal(table.observe('s10', 110, 1, 0), 'fresh', 'one that is known goes on')
  t.equal(table.observe('s0', 300, 0, 0), 'fresh', 'and one that was removed, after a restart')
  t.end()
})

t.test('a process that takes over goes on as if it were the same', (t) => {
  const { table } = tableOf()
  for (const seq of [0, 1, 3]) table.observe('s', 7, seq, 0)
  const saved = JSON.parse(JSON.stringify(table.save())) as ReturnType<KeyedSenders['save']>
  const { table: next, totals } = tableOf()
  next.restore({ floor: -1, marks: [['s', { epoch: 7, highest: 1 }]] })
  next.load(saved)
  t.strictSame(next.summary('s', 'k'), table.summary('s', 'k'))
  t.strictSame([3, 2, 4].map((seq) => next.observe('s', 7, seq, 0)), ['duplicate', 'late', 'fresh'])
  t.match(totals, { gaps: 0, late: 1 })
  t.end()
})

t.test('a process that starts later accepts only what is above everything before', (t) => {
  const { table } = tableOf()
  for (const seq of [0, 1, 3, 8]) table.observe('s', 7, seq, 0)
  table.observe('gone', 5, 0, 0)
  const marks = JSON.parse(JSON.stringify(table.saveMarks())) as ReturnType<KeyedSenders['saveMarks']>
  const { table: next, totals } = tableOf()
  next.restore(marks)
  next.restore({ floor: 0, marks: [['s', { epoch: 6, highest: 99 }]] })
  t.equal(next.size, 0, 'none was heard yet')
  for (const [epoch, seq] of [[6, 100], [7, 2], [7, 8]] as const) t.equal(next.observe('s', epoch, seq, 0), 'stale')
  t.equal(next.observe('s', 7, 11, 0), 'fresh')
  t.equal(next.observe('s', 7, 9, 0), 'stale', 'it may have arrived before')
  t.equal(next.observe('gone', 5, 0, 0), 'stale')
  t.equal(next.observe('gone', 6, 0, 0), 'fresh')
  t.match(totals, { gaps: 0, stale: 5 })
  t.match(summaryOf(next), { first: 11, received: 1, missing: 0 })
  t.strictSame(new Map(next.saveMarks().marks), new Map(
    [['s', { epoch: 7, highest: 11 }], ['gone', { epoch: 6, highest: 0 }]]))
  t.end()
})

t.test('marks are bounded, and those that are dropped leave a floor', (t) => {
  const { table } = tableOf()
  const marks = Array.from({ length: SENDERS_PER_KEY_MAX + 5 }, (_, at) => (
    [`s${at}`, { epoch: at, highest: 0 }] as const))
  table.restore({ floor: -1, marks })
  t.equal(table.saveMarks().marks.length, SENDERS_PER_KEY_MAX)
  t.equal(table.saveMarks().floor, 4)
  t.equal(table.observe('s0', 0, 50, 0), 'stale')
  t.equal(table.observe('s0', 5, 0, 0), 'fresh')
  t.end()
})

t.test('whatever happens, no packet is accepted twice', (t) => {
  const packet = fc.record({
    name: fc.constantFrom('a', 'b', 'c'), epoch: fc.nat({ max: 3 }), seq: fc.oneof(fc.nat({ max: 20 }), fc.nat(9_000))
  })
  const step = fc.oneof({ weight: 9, arbitrary: packet }, { weight: 1, arbitrary: fc.constantFrom('over', 'restart') })
  fc.assert(fc.property(fc.array(step, { maxLength: 300 }), (steps) => {
    const accepted = new Set<string>()
    let { table } = tableOf()
    for (const each of steps) {
      if (typeof each === 'string') {
        const next = tableOf().table
        if (each === 'over') next.load(table.save())
        else next.restore(table.saveMarks())
        table = next
        continue
      }
      const { name, epoch, seq } = each
      const verdict = table.observe(name, epoch, seq, 0)
      if (verdict === 'duplicate' || verdict === 'stale') continue
      const key = `${name} ${epoch} ${seq}`
      if (accepted.has(key)) return false
      accepted.add(key)
    }
    return true
  }), { numRuns: 500 })
  t.end()
})
