/** Ceiling of HTTP: the light sender against servers that decode JSON and drop it, as many as the server has workers. */
import { once } from 'node:events'
import { createServer, type AddressInfo } from 'node:net'
import { prepareLoad } from '../load/child.js'
import type { DropJob, DropResult } from '../load/drop-server.js'
import type { HttpJob, HttpResult } from '../load/jobs.js'
import type { RunRecord } from '../result.js'
import { httpJob, pointsIn, refusals } from '../scenarios/throughput.js'
import type { Session } from '../session.js'

/** Listening on port 0 would give each server a port of its own. */
async function freePort (): Promise<number> {
  const probe = createServer().listen(0, '127.0.0.1')
  await once(probe, 'listening')
  const { port } = probe.address() as AddressInfo
  probe.close()
  await once(probe, 'close')
  return port
}

export async function measureDrop (session: Session, batch: number): Promise<RunRecord> {
  const count = Number(session.server.ready['workers']) || 1
  const port = await freePort()
  const servers = await Promise.all(Array.from({ length: count }, () => prepareLoad<DropResult>('./drop-server.js', { port } satisfies DropJob)))
  const dropped = servers.map(async (server) => (await server.run()).points)
  const job = httpJob(session, { format: 'json', batch, seconds: session.plan.seconds })
  const load = await prepareLoad<HttpResult>('./http-sender.js', { ...job, target: { ...job.target, port } } satisfies HttpJob)
  const result = await load.run()
  for (const server of servers) server.finish()
  const points = (await Promise.all(dropped)).reduce((sum, part) => sum + part, 0)
  const acknowledged = pointsIn(result.acknowledged, batch)
  const problems = points === acknowledged ? [] : [`${points} points were decoded and ${acknowledged} acknowledged`]
  return {
    rate: points / result.seconds, seconds: result.seconds, sent: pointsIn(result.sent, batch), acknowledged, stored: 0, latency: result.latency, problems: [...problems, ...refusals(result.statuses)]
  }
}
