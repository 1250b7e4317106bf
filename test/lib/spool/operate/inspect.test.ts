/** The look at a spool beside its ledger: what waits, and whether the two fit. */
import t from 'tap'
import { realFiles, type Files } from '../../../../lib/spool/files.js'
import { identifySpool, inspectSpool } from '../../../../lib/spool/operate/inspect.js'
import { appendAll, drain, makeDirectory, openTestSpool } from '../support.js'

t.test('counts what the ledger does not cover, across segments and within one', async (t) => {
  const directory = await makeDirectory(t)
  const { spool } = await openTestSpool(t, { directory, segmentBytes: 300 })
  await appendAll(spool, Array.from({ length: 9 }, (_, i) => `row ${i}`))
  await spool.close()
  t.equal(await identifySpool(realFiles, directory), spool.spoolId)
  const all = await inspectSpool(realFiles, directory)
  t.ok(all.segments.length > 2, 'several segments')
  t.match(all, { frames: 9, rows: 9, waiting: { frames: 9, rows: 9, bytes: 45 }, fault: null })
  t.match(await inspectSpool(realFiles, directory, null), { waiting: { rows: 9 }, fault: null }, 'a database that never saw this spool')
  t.match(await inspectSpool(realFiles, directory, { epoch: spool.epoch, sequence: 1 }), { fault: { kind: 'ledger_ahead' } }, 'none was given out yet')
  const second = await openTestSpool(t, { directory })
  second.spool.resume(null)
  for (let rows = 0; rows < 9;) rows += (await second.spool.take(1_000))?.rows ?? 9
  await second.spool.close()
  for (let sequence = 0; sequence <= 9; sequence++) {
    const { waiting, fault, segments } = await inspectSpool(realFiles, directory, { epoch: spool.epoch, sequence })
    t.same({ waiting, fault }, { waiting: { frames: 9 - sequence, rows: 9 - sequence, bytes: 5 * (9 - sequence) }, fault: null })
    t.equal(segments.reduce((sum, segment) => sum + segment.waiting.rows, 0), 9 - sequence)
  }
})

t.test('says what the next start would say of a ledger that does not fit', async (t) => {
  const directory = await makeDirectory(t)
  const first = await openTestSpool(t, { directory })
  await appendAll(first.spool, ['a', 'b'])
  await first.spool.close()
  const { spool } = await openTestSpool(t, { directory })
  spool.resume(null)
  await drain(spool)
  await appendAll(spool, ['c'])
  await spool.close()
  t.match(await inspectSpool(realFiles, directory, { epoch: first.spool.epoch, sequence: 2 }), { waiting: { rows: 1 }, fault: null })
  t.match(await inspectSpool(realFiles, directory, null), { fault: { kind: 'ledger_missing', message: spool.spoolId } })
  t.match(await inspectSpool(realFiles, directory, { epoch: first.spool.epoch, sequence: 1 }), { fault: { kind: 'ledger_behind' } })
  t.match(await inspectSpool(realFiles, directory, { epoch: Date.now() + 60_000, sequence: 1 }), { waiting: { rows: 0 }, fault: { kind: 'ledger_ahead' } })
})

t.test('an empty directory', async (t) => {
  const directory = await makeDirectory(t)
  t.equal(await identifySpool(realFiles, directory), null)
  t.match(await inspectSpool(realFiles, directory, null), { spoolId: null, segments: [], last: null, fault: null, waiting: { rows: 0 } })
})

t.test('a segment that is removed meanwhile: looks again, not for ever', async (t) => {
  const directory = await makeDirectory(t)
  const { spool } = await openTestSpool(t, { directory })
  await appendAll(spool, ['a'])
  await spool.close()
  const ghost = (await inspectSpool(realFiles, directory)).segments[0]!.name.replace(/\d/, (digit) => digit === '0' ? '1' : '0')
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
