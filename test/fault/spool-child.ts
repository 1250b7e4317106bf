/**
 * A process with a spool, for tests that break the system under it: appends `count` batches one after the other and
 * writes a line for each answer to standard output. Ends with code 3 when the spool says that it cannot go on.
 *
 *   node spool-child.js <directory> <count>
 */
import { writeSync } from 'node:fs'
import { realFiles } from '../../lib/spool/file-system.js'
import { openSpool } from '../../lib/spool/open-spool.js'
import { ROW_FORMAT, TestBatch } from '../lib/spool/support.js'

const [directory = '', count = '0'] = process.argv.slice(2)

const { spool } = await openSpool({
  files: realFiles,
  directory,
  rowFormat: ROW_FORMAT,
  maxBytes: 1e9,
  reserveBytes: 0,
  roomIntervalMs: 5,
  onFatal: () => { process.exitCode = 3 },
  onGap: () => { process.exitCode = 4 }
})
for (let index = 1; index <= Number(count); index++) {
  const batch = new TestBatch(`frame-${index}`)
  spool.append(batch)
  // Synchronously: what was acknowledged is said before anything else can happen.
  writeSync(1, `${index} ${await batch.whenSpooled ?? 'ok'}\n`)
  if (batch.spooledAnswers[0] === 'spool_full') await spool.checkRoom()
}
await spool.close()
