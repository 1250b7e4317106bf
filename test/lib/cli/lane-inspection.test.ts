/** What `spool inspect` says about the lanes of a replicated log. */
import t from 'tap'
import { logText, type LaneInspection } from '../../../lib/cli/commands/spool/lane-inspection.js'

const LANE: LaneInspection = {
  lane: 'lane-1',
  instance: 'host-a',
  slot: 0,
  closed: false,
  drainer: null,
  isSeen: true,
  seenAgoMs: 1_400,
  ledger: null,
  waitingRows: 0
}

const POSITION = { epoch: 2, sequence: 7, epochId: null }
const servers = ['nats://a:4222', 'nats://b:4222']
const reachable = { reachable: true, reason: null }

t.test('who stores a lane, and what waits in it', t => {
  const lanes = [
    LANE,
    { ...LANE, lane: 'lane-2', drainer: 'host-b', ledger: POSITION, waitingRows: 1_200 },
    { ...LANE, lane: 'lane-3', isSeen: false, waitingRows: 1 },
    { ...LANE, lane: 'lane-4', isSeen: false, closed: true }
  ]
  const text = logText({ servers, log: reachable, lanes })
  t.match(text, /^Replicated log nats:\/\/a:4222, nats:\/\/b:4222\n\nlane /)
  t.match(text, /^lane-1 +host-a +0 +its server +1 s ago +none +0$/m)
  t.match(text, /^lane-2 +host-a +0 +server host-b +1 s ago +\S.* +1,200$/m)
  t.match(text, /^lane-3 .* NOBODY: its server is away /m)
  t.match(text, /^lane-4 .* drained /m)
  t.match(text, /\n\n1,201 rows pending\.\n1 lane without a server: any that runs with this log and database takes over\.$/)
  t.end()
})

t.test('without lanes, and without the log', t => {
  t.match(logText({ servers, log: reachable, lanes: [] }), /\n\nno lanes\n\nNothing is pending\.$/)
  const away = logText({
    servers, log: { reachable: false, reason: 'timed out' }, lanes: [{ ...LANE, waitingRows: null }]
  })
  t.match(away, /\nThe log could not be read, so what is pending is unknown: timed out\n/)
  t.match(away, /^lane-1 .* unknown$/m)
  t.notMatch(away, 'Nothing is pending')
  t.end()
})
