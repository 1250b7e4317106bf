/** Inspection of a spool and its ledger: what waits, and whether they fit. */
import t from 'tap'
import type { LedgerPosition } from '../../../../lib/journal/journal.js'
import { realFiles, type Files } from '../../../../lib/spool/file-system.js'
import { identifySpool, inspectSpool } from '../../../../lib/spool/operate/inspect.js'
import { POSITION_START } from '../../../../lib/spool/format/position.js'
import { appendAll, drain, ledgerAt, makeDirectory, openTestSpool } from '../support.js'

const at = (ledger: LedgerPosition | null) => async (): Promise<LedgerPosition | null> => await Promise.resolve(ledger)

t.test('counts what the ledger does not cover, across segments and within one', async (t) => {
  const directory = await makeDirectory(t)
  const { spool } = await openTestSpool(t, { directory, segmentBytes: 300 })
  await appendAll(spool, Array.from({ length: 9 }, (_, i) => `row ${i}`))
  await spool.close()
  t.equal(await identifySpool(realFiles, directory), spool.spoolId)
  const all = await inspectSpool(realFiles, directory)
  t.ok(all.segments.length > 2, 'several segments')
  t.match(all, { frames: 9, rows: 9, waiting: { frames: 9, rows: 9, bytes: 45 }, fault: null })
  t.match(await inspectSpool(realFiles, directory, at(null)), { waiting: { rows: 9 }, fault: null }, 'no row yet')
  for (let sequence = 0; sequence <= 9; sequence++) {
    const { waiting, fault, segments } = await inspectSpool(realFiles, directory, at(ledgerAt(spool, sequence)))
    const left = 9 - sequence
    t.same({ waiting, fault }, { waiting: { frames: left, rows: left, bytes: 5 * left }, fault: null })
    t.equal(segments.reduce((sum, segment) => sum + segment.waiting.rows, 0), 9 - sequence)
  }
})

t.test('reports what the next start would about a ledger that does not fit', async (t) => {
  const directory = await makeDirectory(t)
  const first = await openTestSpool(t, { directory })
  await appendAll(first.spool, ['a', 'b'])
  await first.spool.close()
  const { spool } = await openTestSpool(t, { directory })
  spool.resume(null)
  spool.resume(POSITION_START)
  await drain(spool)
  await appendAll(spool, ['c'])
  await spool.close()
  t.match(await inspectSpool(realFiles, directory, at(ledgerAt(first.spool, 2))), { waiting: { rows: 1 }, fault: null })
  const missing = { kind: 'ledger_missing', message: spool.spoolId }
  t.match(await inspectSpool(realFiles, directory, at(null)), { fault: missing })
  t.match(await inspectSpool(realFiles, directory, at(ledgerAt(first.spool, 1))), { fault: { kind: 'ledger_behind' } })
  const later = at({ epoch: Date.now() + 60_000, sequence: 1, epochId: null })
  t.match(await inspectSpool(realFiles, directory, later), { waiting: { rows: 0 }, fault: { kind: 'ledger_ahead' } })
})

t.test('a spool that changes during the inspection has no fault', async (t) => {
  const directory = await makeDirectory(t)
  const { spool } = await openTestSpool(t, { directory, segmentBytes: 300 })
  spool.resume(POSITION_START)
  let stored = 0
  const { fault } = await inspectSpool(realFiles, directory, async () => {
    const seen = ledgerAt(spool, stored)
    if (stored < 3) {
      await appendAll(spool, [`row ${stored}`, 'another'])
      await drain(spool)
      // Committed frames are removed.
      await spool.checkRoom()
      stored += 2
    }
    return seen
  })
  t.equal(fault, null)
  t.equal(stored, 4, 'it was looked at again')
})

t.test('an empty directory', async (t) => {
  const directory = await makeDirectory(t)
  t.equal(await identifySpool(realFiles, directory), null)
  const empty = { spoolId: null, segments: [], last: null, fault: null, waiting: { rows: 0 } }
  t.match(await inspectSpool(realFiles, directory, at(null)), empty)
})

t.test('a segment removed meanwhile: starts over, but not forever', async (t) => {
  const directory = await makeDirectory(t)
  const { spool } = await openTestSpool(t, { directory })
  await appendAll(spool, ['a'])
  await spool.close()
  const [segment] = (await inspectSpool(realFiles, directory)).segments
  const ghost = segment!.name.replace(/\d/, (digit) => digit === '0' ? '1' : '0')
  let ghosts = 3
  const files: Files = {
    ...realFiles,
    list: async (path) => [...await realFiles.list(path), ...(ghosts-- > 0 ? [ghost] : [])]
  }
  t.match(await inspectSpool(files, directory), { rows: 1 })
  t.ok(ghosts < 0)
  ghosts = Infinity
  await t.rejects(inspectSpool(files, directory), { code: 'ENOENT' })
})
