import t from 'tap'
import { loadConfig } from '../../../../lib/config/config.js'
import { PointCounters } from '../../../../lib/pipeline/pipeline.js'
import { UdpTotals } from '../../../../lib/primary/answers/udp-totals.js'
import { fleetSummary } from '../../../../lib/primary/live/fleet-summary.js'
import { Throughput } from '../../../../lib/primary/live/throughput.js'
import { reportOf, slotOf } from '../../../support/programs/slots.js'

t.test('where points wait, and how many bytes of them may', (t) => {
  const backlog = { frames: 1, rows: 10, bytes: 1000, oldestMs: 2500 }
  const workers = {
    slots: [0, 1].map((number) => slotOf({ number, report: reportOf({ slot: number, backlog }) })),
    retired: new PointCounters(),
    retiredUdp: new UdpTotals(),
    limits: { version: 1, complaint: null }
  }
  const sizes = { SPOOL_MAX_BYTES: '2GB', MEMORY_MAX_BYTES: '1MB', WORKERS: '2', UDP_PORT: 'off' }
  for (const [directory, kind, limit] of [
    ['/var/spool', 'disk', 2 * 1024 ** 3], ['nats://127.0.0.1', 'log', 2 * 1024 ** 3], ['off', 'memory', 2 * 1024 ** 2]
  ] as const) {
    const loaded = loadConfig({ env: { ...sizes, SPOOL_DIR: directory } })
    if (!loaded.ok) throw new Error(JSON.stringify(loaded.problems))
    const { config } = loaded
    const summary = fleetSummary({ workers, config, databaseKind: 'plain', throughput: new Throughput() }, 0, 0)
    t.match(summary, { spool: { kind, limit_bytes: limit, bytes: 2000, frames: 2, oldest_s: 2.5 } })
  }
  t.end()
})
