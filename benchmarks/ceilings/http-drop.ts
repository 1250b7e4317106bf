/**
 * Ceiling for HTTP: the light sender against servers that decode JSON and drop it, as many as the server has workers.
 * They are new, and warmed up like the server.
 */
import { once } from 'node:events'
import { createServer, type AddressInfo } from 'node:net'
import { held } from '../held.js'
import { prepareLoad } from '../load/child.js'
import type { DropJob, DropResult } from '../load/drop-server.js'
import type { HttpJob, HttpResult } from '../load/jobs.js'
import { closedLoopProblems, pointsIn } from '../outcomes.js'
import type { RunRecord } from '../result.js'
import { httpJob } from '../scenarios/throughput.js'
import { WARM_UP_SECONDS } from '../scenarios/warm-up.js'
import { OtherWork, type Session } from '../session.js'

/** With port 0 each server would get a different port. */
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
  const servers = await Promise.all(
    Array.from({ length: count }, () => prepareLoad<DropResult>('./drop-server.js', { port } satisfies DropJob))
  )
  const dropped = held(Promise.all(servers.map(async (server) => (await server.run()).points)))
  const job = httpJob(port, { format: 'json', batch, seconds: session.plan.seconds })
  const work = new OtherWork()
  const warm = await sendTo({ ...job, seconds: WARM_UP_SECONDS })
  const result = await sendTo(job)
  for (const server of servers) server.finish()
  const points = (await dropped).reduce((sum, part) => sum + part, 0)
  const other = work.end(servers.reduce((sum, server) => sum + server.cpuSeconds, warm.cpuSeconds + result.cpuSeconds))
  const acknowledged = pointsIn(result.acknowledged, batch)
  const all = acknowledged + pointsIn(warm.acknowledged, batch)
  const problems = points === all ? [] : [`${points} points were decoded but ${all} acknowledged`]
  return {
    rate: acknowledged / result.seconds,
    seconds: result.seconds,
    sent: pointsIn(result.sent, batch),
    acknowledged,
    stored: 0,
    latency: result.latency,
    ...other,
    problems: [...problems, ...closedLoopProblems(result)]
  }
}

async function sendTo (job: HttpJob): Promise<HttpResult & { readonly cpuSeconds: number }> {
  const load = await prepareLoad<HttpResult>('./http-sender.js', job)
  return { ...await load.run(), cpuSeconds: load.cpuSeconds }
}
