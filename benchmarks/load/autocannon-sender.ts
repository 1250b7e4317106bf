/** autocannon in a process of its own, one point a request, without times: they are those of receipt. */
import autocannon from 'autocannon'
import { encodeJsonWithoutTime } from '../bodies.js'
import { pointsOf } from '../points.js'
import { serveLoad } from './child.js'
import type { AutocannonJob, AutocannonResult } from './jobs.js'

async function run (job: AutocannonJob): Promise<AutocannonResult> {
  const { points, requestsPerSecond, seconds } = job
  const requests = Array.from({ length: points.bodies }, (_, body) => ({ body: encodeJsonWithoutTime(pointsOf(points, body), true) }))
  // With a fixed number all are answered before it ends.
  const length = requestsPerSecond === null ? { duration: seconds } : { overallRate: requestsPerSecond, amount: requestsPerSecond * seconds }
  const result = await autocannon({
    url: job.url,
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    connections: job.connections,
    requests,
    ...length
  })
  const { latency } = result
  return {
    // At a fixed rate autocannon counts those too that it is going to send.
    sent: requestsPerSecond === null ? result.requests.sent : requestsPerSecond * seconds,
    acknowledged: result['2xx'],
    failed: result.non2xx + result.errors + result.timeouts,
    latency: { count: result.requests.total, p50: latency.p50, p90: latency.p90, p99: latency.p99, p999: latency.p99_9, max: latency.max },
    // A second's requests go out at its start: the last second counts whole.
    seconds: Math.max(result.duration, requestsPerSecond === null ? 0 : seconds)
  }
}

serveLoad<AutocannonResult>((job: AutocannonJob) => Promise.resolve({ run: () => run(job) }))
