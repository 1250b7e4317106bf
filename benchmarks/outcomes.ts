/** Outcomes of a load's requests, as counts and as problems of the run. */
import type { HttpResult, PacedResult } from './load/jobs.js'

/** Required share of requests at a fixed rate. */
export const ACKNOWLEDGED_SHARE_MIN = 0.99

/** Legitimate backpressure: none of these accepts points, and throughput counts only what was stored. */
const REQUESTS_TO_WAIT = new Set(['429 too_busy', '503 overloaded', '503 spool_full'])

/** Key of a response in `statuses`: the status, and the error code if there is one. */
export function outcomeOf (status: number, code: string): string {
  return code === '' ? String(status) : `${status} ${code}`
}

/** Number of points in all requests of a list by body. */
export function pointsIn (requests: readonly number[], batch: number): number {
  return requests.reduce((sum, count) => sum + count, 0) * batch
}

/** Responses that are neither 2xx nor backpressure, as problems. */
export function refusals (statuses: Readonly<Record<string, number>>): string[] {
  return Object.entries(statuses)
    .filter(([status]) => !status.startsWith('2') && !REQUESTS_TO_WAIT.has(status))
    .map(([status, count]) => status === '0'
      ? `${count} requests lost their connection before a response`
      : `${count} requests were answered with ${status}`)
}

/** Problems of a closed loop: each connection waits for its response, so backpressure is no problem. */
export function closedLoopProblems ({ statuses, unanswered }: Pick<HttpResult, 'statuses' | 'unanswered'>): string[] {
  return [...refusals(statuses), ...unanswered === 0 ? [] : [`${unanswered} requests were unanswered at the deadline`]]
}

/** Problems at a fixed rate: all requests must have been sent, and nearly all acknowledged. */
export function pacedProblems (result: PacedResult, requestsDue: number): string[] {
  const sent = pointsIn(result.sent, 1)
  const acknowledged = pointsIn(result.acknowledged, 1)
  return [
    ...closedLoopProblems(result),
    ...sent < ACKNOWLEDGED_SHARE_MIN * requestsDue ? [`only ${sent} of ${requestsDue} requests could be sent`] : [],
    ...acknowledged < ACKNOWLEDGED_SHARE_MIN * sent
      ? [`only ${acknowledged} of ${sent} requests were acknowledged`]
      : []
  ]
}

/** Problems of the probes in a load. */
export function probeProblems ({ probesDueMs, probesAcknowledged, probeStatuses }: PacedResult): string[] {
  const sent = probesDueMs.length
  return [
    ...refusals(probeStatuses).map((problem) => `probes: ${problem}`),
    ...probesAcknowledged < ACKNOWLEDGED_SHARE_MIN * sent
      ? [`only ${probesAcknowledged} of ${sent} probes were acknowledged`]
      : []
  ]
}
