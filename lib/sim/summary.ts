/** What a run came to: figures, as text for people and as JSON for scripts. */
import type { Histogram } from './histogram.js'
import type { TransportStats } from './send/transport.js'
import type { UdpOutcome } from './send/udp-transport.js'

/** Share of the points that must be accepted for a run to count as good. */
const ACCEPTED_SHARE_MIN = 0.99

export interface Plan {
  readonly seed: number
  readonly satellites: number
  /** Of the whole fleet. */
  readonly pointsPerSecond: number
}

/** The keys are those of --json: part of the program's interface. */
export interface Summary {
  readonly seed: number
  readonly satellites: number
  /** How long points were sent. */
  readonly seconds: number
  readonly requests: number
  /** Points from here on. */
  readonly sent: number
  readonly accepted: number
  readonly failed: number
  readonly failures: ReadonlyArray<{ readonly cause: string, readonly points: number, readonly example: string }>
  /** Not sent: the simulator itself came more than 100 ms too late. */
  readonly skipped_late: number
  /** Not sent: too many were without an answer. */
  readonly skipped_unanswered: number
  readonly anomalies: number
  /** Answers with Retry-After. */
  readonly asked_to_wait: number
  readonly rate_asked: number
  readonly rate_sent: number
  readonly latency_ms: { readonly p50: number, readonly p90: number, readonly p99: number, readonly max: number }
  /** Of the points that were sent, or that the server was too slow for; null: there were none. */
  readonly accepted_share: number | null
  /** Packets over UDP; null over HTTP. */
  readonly udp: UdpOutcome | null
  readonly ok: boolean
}

export interface Outcome {
  readonly sendingMs: number
  readonly stats: TransportStats
  readonly latencies: Histogram
  readonly skippedLate: number
  readonly skippedUnanswered: number
  readonly anomalies: number
  readonly udp: UdpOutcome | null
}

export function summarize (plan: Plan, outcome: Outcome): Summary {
  const { stats, latencies, sendingMs, skippedUnanswered } = outcome
  const offered = stats.sentPoints + skippedUnanswered
  const acceptedShare = offered === 0 ? null : stats.acceptedPoints / offered
  const seconds = sendingMs / 1000
  const ms = (micros: number): number => round(micros / 1000, 3)
  return {
    seed: plan.seed,
    satellites: plan.satellites,
    seconds: round(seconds, 3),
    requests: stats.sentMessages,
    sent: stats.sentPoints,
    accepted: stats.acceptedPoints,
    failed: stats.failedPoints,
    failures: [...stats.failures].map(([cause, failure]) => ({ cause, ...failure })).sort((a, b) => b.points - a.points),
    skipped_late: outcome.skippedLate,
    skipped_unanswered: skippedUnanswered,
    anomalies: outcome.anomalies,
    asked_to_wait: stats.askedToWait,
    rate_asked: plan.pointsPerSecond,
    rate_sent: seconds > 0 ? round(stats.sentPoints / seconds, 2) : 0,
    latency_ms: { p50: ms(latencies.quantile(0.5)), p90: ms(latencies.quantile(0.9)), p99: ms(latencies.quantile(0.99)), max: ms(latencies.maxMicros) },
    accepted_share: acceptedShare,
    udp: outcome.udp,
    ok: acceptedShare !== null && acceptedShare >= ACCEPTED_SHARE_MIN
  }
}

/** The summary as aligned lines. */
export function summaryText (summary: Summary): string {
  const { latency_ms: latency, udp } = summary
  const waits = summary.asked_to_wait === 0 ? '' : `; ${count(summary.asked_to_wait)} answers asked to wait (Retry-After)`
  const lines: Line[] = [
    ['Sent', `${count(summary.sent)} points in ${count(summary.requests)} ${udp === null ? 'requests' : 'packets'}, ${summary.seconds.toFixed(1)} s`],
    ...(udp === null ? [] : packetLines(udp)),
    ['Accepted', `${count(summary.accepted)}${summary.accepted_share === null ? '' : ` (${percent(summary.accepted_share)})`}`],
    ['Failed', `${count(summary.failed)}${waits}`],
    ...summary.failures.map(({ cause, points, example }) => ['', `${count(points)} ${describeCause(cause)}${example === '' ? '' : `: ${example}`}`] as const),
    ['Skipped', describeSkipped(summary)],
    ['Rate', `${count(Math.round(summary.rate_sent))} points/s of ${count(summary.rate_asked)} asked for`],
    ...(udp === null ? [latencyLine(latency)] : []),
    ['Anomalies', `${count(summary.anomalies)} points sent with a value beyond its limit`],
    ['Seed', String(summary.seed)]
  ]
  return lines.map(([title, text]) => title.padEnd(11) + text).join('\n')
}

type Line = readonly [title: string, text: string]

function latencyLine (latency: Summary['latency_ms']): Line {
  return ['Latency', `p50 ${milliseconds(latency.p50)}, p90 ${milliseconds(latency.p90)}, p99 ${milliseconds(latency.p99)}, max ${milliseconds(latency.max)}`]
}

function packetLines ({ sender, epoch, sent, received, missing, not_sent: notSent, kernel_drops: kernelDrops, shed, malformed }: UdpOutcome): Line[] {
  const name = `sender ${sender}, epoch ${epoch}`
  if (received === null || missing === null) return [['Received', `unknown: the server gave no account of ${name}`]]
  const some = (packets: number | null, words: string): string[] => packets === null || packets === 0 ? [] : [`${count(packets)} ${words}`]
  const causes = [...some(notSent, 'not sent by this machine'), ...some(kernelDrops, 'dropped by the server\'s kernel (all senders)')]
  const unused = [...some(shed, 'dropped for want of room (all senders)'), ...some(malformed, 'refused (all senders)')]
  return [
    ['Received', `${count(received)} of ${count(sent)} packets of ${name}${unused.length === 0 ? '' : `; ${unused.join(', ')}`}`],
    ['Missing', `${count(missing)} packets${causes.length === 0 ? '' : `: ${causes.join(', ')}`}`]
  ]
}

/** Why a run was not good: one line. */
export function verdictText ({ accepted_share: share }: Summary): string {
  if (share === null) return 'error: no points were sent: the run was too short for its rate, or this process too late'
  return `error: ${percent(share)} of the points were accepted; ${percent(ACCEPTED_SHARE_MIN)} are needed`
}

function describeSkipped ({ skipped_late: late, skipped_unanswered: unanswered }: Summary): string {
  const reasons = [
    ...(late === 0 ? [] : [`${count(late)} because this process was too late`]),
    ...(unanswered === 0 ? [] : [`${count(unanswered)} because too many were without an answer`])
  ]
  return count(late + unanswered) + (reasons.length === 0 ? '' : `: ${reasons.join(', ')}`)
}

const CAUSES: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'connection refused',
  ECONNRESET: 'connection reset by the server',
  lost: 'did not arrive, at the points of a full packet each',
  EPIPE: 'connection closed by the server',
  closed: 'by the server, before it answered',
  timeout: 'no connection or no answer in time',
  UND_ERR_CONNECT_TIMEOUT: 'no connection in time',
  UND_ERR_HEADERS_TIMEOUT: 'no answer in time'
}

/** A cause of failure in words, with its code. */
export function describeCause (cause: string): string {
  const words = CAUSES[cause]
  return words === undefined ? cause : `${words} (${cause})`
}

/** A number with thousands set apart. */
export function count (value: number): string {
  return value.toLocaleString('en-US')
}

/** Milliseconds with about three digits that matter. */
export function milliseconds (value: number): string {
  const decimals = value < 10 ? 2 : value < 100 ? 1 : 0
  return `${value.toFixed(decimals)} ms`
}

/** Cut off, not rounded: 98.999% must not read as 99%. */
function percent (share: number): string {
  return `${(Math.floor(share * 10_000 + 1e-6) / 100).toFixed(2)}%`
}

function round (value: number, decimals: number): number {
  return Number(value.toFixed(decimals))
}
