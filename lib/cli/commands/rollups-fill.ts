/** `rollups fill`: makes all rollups that wait at full speed, beside servers or without one. */
import { sqlState } from '../../database/connection.js'
import { fillRollups } from '../../upkeep/rollup/fill.js'
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
  summary: 'Make all rollups that wait, at full speed: after a table with history was adopted, or when buckets failed.',
  options: [],
  settings: ['dataDir', 'databaseUrl', 'logLevel'],
  async run ({ config, print, complain }) {
    const abort = new AbortController()
    const signals = onSignals(complain, () => abort.abort())
    try {
      const left = await withDatabase(config, errorLog(config, 'rollups'), async (db) => await fillRollups(db, {
        signal: abort.signal,
        onProgress: (progress) => { if (progress.waitingMinutes !== 0) print(`${describeWaiting(progress)} left`) },
        onWaiting: () => print('Another command makes rollups, or ended a moment ago; waiting for it')
      }))
      const { waitingMinutes, failedBuckets, failure } = left
      print(waitingMinutes === 0 ? 'All rollups are made.' : `${counted(waitingMinutes ?? 0, 'minute')} of rollups are left: ${abort.signal.aborted ? 'stopped' : 'others hold locks on them; run it again'}.`)
      if (failedBuckets > 0) complain(`error: ${counted(failedBuckets, 'bucket')} cannot be made; the last is ${printable(String(failure))}`)
      return waitingMinutes === 0 && failedBuckets === 0 ? 0 : 1
    } catch (error) {
      if (!NOT_THERE.test(sqlState(error) ?? '')) throw error
      throw new StartupError('The database does not have the rollups of this version: run start or migrate first.', { cause: error })
    } finally {
      signals.release()
    }
  }
})
