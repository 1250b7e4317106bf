/** What became of the requests of a load, in numbers and as problems of a run. */
import type { HttpResult, PacedResult } from './load/jobs.js'

/** Of the requests of an open loop, or at a fixed rate. */
export const ACKNOWLEDGED_SHARE_MIN = 0.99

/** A server that asks to wait does so rightly, and is counted by what it stored. None of these takes points. */
const REQUESTS_TO_WAIT = new Set(['429 too_busy', '503 overloaded', '503 spool_full'])

/** Key of an answer in `statuses`: the status, and the code of the error if it names one. */
export function outcomeOf (status: number, code: string): string {
  return code === '' ? String(status) : `${status} ${code}`
}

/** Points of all requests of a list by body. */
export function pointsIn (requests: readonly number[], batch: number): number {
  return requests.reduce((sum, count) => sum + count, 0) * batch
}

/** Answers that are neither 2xx nor a request to wait, as problems. */
export function refusals (statuses: Readonly<Record<string, number>>): string[] {
  return Object.entries(statuses)
    .filter(([status]) => !status.startsWith('2') && !REQUESTS_TO_WAIT.has(status))
    .map(([status, count]) => status === '0' ? `${count} requests lost their connection before an answer` : `${count} requests were answered with ${status}`)
}

/** Problems of a closed loop: each connection sends when it was answered, so being asked to wait is none. */
export function closedLoopProblems ({ statuses, unanswered }: Pick<HttpResult, 'statuses' | 'unanswered'>): string[] {
  return [...refusals(statuses), ...unanswered === 0 ? [] : [`${unanswered} requests had no answer by the deadline`]]
}

/** Problems at a fixed rate: all requests must have gone out, and nearly all must have been acknowledged. */
export function pacedProblems (result: PacedResult, requestsDue: number): string[] {
  const sent = pointsIn(result.sent, 1)
  const acknowledged = pointsIn(result.acknowledged, 1)
  return [
    ...closedLoopProblems(result),
    ...sent < ACKNOWLEDGED_SHARE_MIN * requestsDue ? [`only ${sent} of ${requestsDue} requests could be sent`] : [],
    ...acknowledged < ACKNOWLEDGED_SHARE_MIN * sent ? [`only ${acknowledged} of ${sent} requests were acknowledged`] : []
  ]
}

/** Problems of the probes among a load. */
export function probeProblems ({ probesDueMs, probesAcknowledged, probeStatuses }: PacedResult): string[] {
  const sent = probesDueMs.length
  return [
    ...refusals(probeStatuses).map((problem) => `probes: ${problem}`),
    ...probesAcknowledged < ACKNOWLEDGED_SHARE_MIN * sent ? [`only ${probesAcknowledged} of ${sent} probes were acknowledged`] : []
  ]
}
