/** Every dashboard query on TimescaleDB: in WebAssembly, or on the server of TEST_TIMESCALE_URL. */
import t from 'tap'
import { everyQueryAnswers } from '../support/answers/dashboard-answers.js'
import { openTimescale } from '../support/database/timescale.js'

t.test('with data', async (t) => {
  await everyQueryAnswers(t, await openTimescale(t))
})
