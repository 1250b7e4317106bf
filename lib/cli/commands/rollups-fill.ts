/** `rollups fill`: computes all pending rollups at full speed, with or without running servers. */
import { sqlState } from '../../database/connection.js'
import type { Database } from '../../database/database.js'
import { inStream } from '../../database/stream-tables.js'
import { readCatalogue } from '../../schema/catalogue-versions.js'
import { fillRollups, type FillOptions } from '../../upkeep/rollup/fill.js'
import { describeWaiting } from '../../upkeep/rollup/progress.js'
import { StartupError } from '../../support/startup-error.js'
import { defineCommand } from '../command.js'
import { onSignals } from '../signals.js'
import { counted, printable } from '../table.js'
import { errorLog, withDatabase } from './database.js'

/** undefined_table, undefined_function */
const NOT_THERE = /^42(?:P01|883)$/

export const rollupsFill = defineCommand({
  name: 'rollups fill',
  summary: 'Compute all pending rollups at full speed: after adopting a table with history, or after failures.',
  options: [],
  settings: ['dataDir', 'databaseUrl', 'logLevel'],
  async run ({ config, print, complain }) {
    const abort = new AbortController()
    const signals = onSignals(complain, () => abort.abort())
    try {
      const left = await withDatabase(config, errorLog(config, 'rollups'), async (db) => await fillAll(db, {
        signal: abort.signal,
        onProgress: (progress) => { if (progress.waitingMinutes !== 0) print(`${describeWaiting(progress)} left`) },
        onWaiting: () => print('Another process is computing rollups, or just ended; waiting')
      }))
      const { waitingMinutes, failedBuckets, failure } = left
      print(waitingMinutes === 0
        ? `All ${failedBuckets > 0 ? 'other ' : ''}rollups are up to date.`
        : `${counted(waitingMinutes, 'minute')} of rollups are left: ` +
        `${abort.signal.aborted ? 'stopped' : 'locked by other sessions; run the command again'}.`)
      if (failedBuckets > 0) {
        complain(`error: ${counted(failedBuckets, 'bucket')} failed; the last with: ${printable(String(failure))}`)
      }
      return waitingMinutes === 0 && failedBuckets === 0 ? 0 : 1
    } catch (error) {
      if (!NOT_THERE.test(sqlState(error) ?? '')) throw error
      throw new StartupError(
        'The database does not have the rollups of this version yet: run start or migrate first.',
        { cause: error }
      )
    } finally {
      signals.release()
    }
  }
})

/** Stream by stream; returns what is left of all. */
async function fillAll (
  db: Database, options: FillOptions
): Promise<{ waitingMinutes: number, failedBuckets: number, failure: string | null }> {
  let [waitingMinutes, failedBuckets] = [0, 0]
  let failure: string | null = null
  for (const { name } of (await readCatalogue(db)).streams) {
    const left = await fillRollups(inStream(db, name), options)
    waitingMinutes += left.waitingMinutes ?? 0
    failedBuckets += left.failedBuckets
    failure = left.failure ?? failure
  }
  return { waitingMinutes, failedBuckets, failure }
}
