/** Queries for telemetry on TimescaleDB: in WebAssembly, or on the server of TEST_TIMESCALE_URL. */
import t from 'tap'
import { openTimescale } from '../../support/database/timescale.js'
import { refresh } from '../../support/database/timescale-rig.js'
import { telemetryAnswers } from '../../support/answers/telemetry-answers.js'

const HOUR_MS = 3_600_000

t.test('every answer is what was stored', async (t) => {
  await telemetryAnswers(t, await openTimescale(t), async (database) => {
    for (const view of ['rollup_10s', 'rollup_1m']) {
      await refresh(database, view, Date.now() - 12 * HOUR_MS, Date.now() - 60_000)
    }
  })
})
