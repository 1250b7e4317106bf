/** The database away for a while. `npm run test:soak -- --outage 10m --rate 10000` does it for as long as one likes. */
import t from 'tap'
import { megabytes, runOutage } from '../support/load/outage.js'

const OUTAGE_MS = 5_000
const POINTS_PER_SECOND = 2_000
/** A third of the time, up to 5 s until the drain tries to connect again, and grace for a slow machine. */
const DRAIN_MS_MAX = OUTAGE_MS / 3 + 5_000 + 10_000
const RESIDENT_BYTES_MAX = 400 * 1024 * 1024

t.setTimeout(200_000)
t.test('PostgreSQL away: every point is accepted, and stored when it is back, while new ones come', async (t) => {
  const verdict = await runOutage(t, {
    outageMs: OUTAGE_MS, pointsPerSecond: POINTS_PER_SECOND, isReplicated: false, print: (line) => t.comment(line)
  })
  const {
    stored, acknowledged, drainMs, residentBytesBefore, residentBytesMost, acknowledgedWhileDraining, ...wrong
  } = verdict
  t.comment(
    `drained after ${Math.round(drainMs)} ms, ${acknowledgedWhileDraining} points accepted meanwhile; ` +
    `largest process ${megabytes(residentBytesBefore)} before, ${megabytes(residentBytesMost)} at most`)
  t.same(wrong, { missing: [], twice: [], invented: [], failures: {}, conservationErrorPoints: 0 })
  t.equal(stored, acknowledged)
  t.ok(acknowledged >= OUTAGE_MS / 1000 * POINTS_PER_SECOND / 2, `${acknowledged} points were acknowledged`)
  // A drain of a second or less may end between two requests.
  t.ok(acknowledgedWhileDraining > 0 || drainMs < 1_000, 'new points were acknowledged during the drain')
  t.ok(drainMs < DRAIN_MS_MAX, `drained in ${Math.round(drainMs)} ms`)
  t.ok(residentBytesMost < RESIDENT_BYTES_MAX, `memory stays below ${megabytes(RESIDENT_BYTES_MAX)}`)
})
