/** The result of a run: figures as text for people and as JSON for scripts. */
import { formatCount } from '../config/setting-types.js'
import type { Latencies } from './histogram.js'
import type { TransportStats } from './send/transport.js'
import type { UdpOutcome } from './send/udp-transport.js'

/** Share of the points that must be accepted for a run to succeed. */
const ACCEPTED_SHARE_MIN = 0.99

export interface Plan {
  readonly seed: number
  readonly satellites: number
  /** Of the whole fleet. */
  readonly pointsPerSecond: number
}

/** The keys are those of --json, and part of the program's interface. */
export interface Summary {
  readonly seed: number
  readonly satellites: number
  /** How long points were sent. */
  readonly seconds: number
  /** Of these, while the rate was rising: not part of `rate_sent` and `latency_ms`. */
  readonly warm_up_seconds: number
  readonly requests: number
  /** From here on: points. */
  readonly sent: number
  readonly accepted: number
  readonly failed: number
  readonly failures: ReadonlyArray<{ readonly cause: string, readonly points: number, readonly example: string }>
  /** Not sent: the simulator was more than 100 ms late. */
  readonly skipped_late: number
  /** Not sent: too many were unanswered. */
  readonly skipped_unanswered: number
  readonly anomalies: number
  /** Responses with Retry-After. */
  readonly asked_to_wait: number
  readonly rate_asked: number
  readonly rate_sent: number
  readonly latency_ms: { readonly p50: number, readonly p90: number, readonly p99: number, readonly max: number }
  /** Share of the points that were sent or that the server was too slow for; null: there were none. */
  readonly accepted_share: number | null
  /** Packets over UDP; null over HTTP. */
  readonly udp: UdpOutcome | null
  readonly ok: boolean
}

/** The part of a run after its warm-up. */
export interface Counted {
  /** Complete when the run has ended. */
  readonly latencies: Latencies
  /** When it began, in milliseconds since the start of the run. */
  fromMs: number
  /** Points sent by then. */
  pointsBefore: number
}

export interface Outcome {
  readonly sendingMs: number
  readonly counted: Readonly<Counted>
  readonly stats: TransportStats
  readonly skippedLate: number
  readonly skippedUnanswered: number
  readonly anomalies: number
  readonly udp: UdpOutcome | null
}

export function summarize (plan: Plan, outcome: Outcome): Summary {
  const { stats, sendingMs, counted, skippedUnanswered } = outcome
  const { latencies } = counted
  const offered = stats.sentPoints + skippedUnanswered
  const acceptedShare = offered === 0 ? null : stats.acceptedPoints / offered
  const countedSeconds = (sendingMs - counted.fromMs) / 1000
  const ms = (micros: number): number => round(micros / 1000, 3)
  return {
    seed: plan.seed,
    satellites: plan.satellites,
    seconds: round(sendingMs / 1000, 3),
    warm_up_seconds: round(counted.fromMs / 1000, 3),
    requests: stats.sentMessages,
    sent: stats.sentPoints,
    accepted: stats.acceptedPoints,
    failed: stats.failedPoints,
    failures: [...stats.failures]
      .map(([cause, failure]) => ({ cause, ...failure }))
      .sort((a, b) => b.points - a.points),
    skipped_late: outcome.skippedLate,
    skipped_unanswered: skippedUnanswered,
    anomalies: outcome.anomalies,
    asked_to_wait: stats.askedToWait,
    rate_asked: plan.pointsPerSecond,
    rate_sent: countedSeconds > 0 ? round((stats.sentPoints - counted.pointsBefore) / countedSeconds, 2) : 0,
    latency_ms: {
      p50: ms(latencies.percentile(50)),
      p90: ms(latencies.percentile(90)),
      p99: ms(latencies.percentile(99)),
      max: ms(latencies.max)
    },
    accepted_share: acceptedShare,
    udp: outcome.udp,
    ok: acceptedShare !== null && acceptedShare >= ACCEPTED_SHARE_MIN
  }
}

/** The summary as aligned lines. */
export function summaryText (summary: Summary): string {
  const { latency_ms: latency, udp } = summary
  const waits = summary.asked_to_wait === 0
    ? ''
    : `; ${formatCount(summary.asked_to_wait)} responses asked to wait (Retry-After)`
  const lines: Line[] = [
    [
      'Sent',
      `${formatCount(summary.sent)} points in ${formatCount(summary.requests)} ` +
        `${udp === null ? 'requests' : 'packets'}, ${summary.seconds.toFixed(1)} s`
    ],
    ...(udp === null ? [] : packetLines(udp)),
    [
      'Accepted',
      formatCount(summary.accepted) + (summary.accepted_share === null ? '' : ` (${percent(summary.accepted_share)})`)
    ],
    ['Failed', `${formatCount(summary.failed)}${waits}`],
    ...summary.failures.map(({ cause, points, example }) =>
      ['', `${formatCount(points)} ${describeCause(cause)}${example === '' ? '' : `: ${example}`}`] as const),
    ['Skipped', describeSkipped(summary)],
    [
      'Rate',
      `${formatCount(Math.round(summary.rate_sent))} points/s of ${formatCount(summary.rate_asked)} requested` +
        (summary.warm_up_seconds === 0 ? '' : `, after ${summary.warm_up_seconds.toFixed(1)} s of warm-up`)
    ],
    ...(udp === null ? [latencyLine(latency)] : []),
    ['Anomalies', `${formatCount(summary.anomalies)} points with a value beyond its limit`],
    ['Seed', String(summary.seed)]
  ]
  return lines.map(([title, text]) => title.padEnd(11) + text).join('\n')
}

type Line = readonly [title: string, text: string]

function latencyLine (latency: Summary['latency_ms']): Line {
  const parts = (['p50', 'p90', 'p99', 'max'] as const).map((name) => `${name} ${milliseconds(latency[name])}`)
  return ['Latency', parts.join(', ')]
}

function packetLines (
  { sender, epoch, sent, received, missing, not_sent: notSent, kernel_drops: kernelDrops, ...others }: UdpOutcome
): Line[] {
  const name = `sender ${sender}, epoch ${epoch}`
  const some = (packets: number | null, words: string): string[] => packets === null || packets === 0
    ? []
    : [`${formatCount(packets)} ${words}`]
  const causes = [
    ...some(notSent, 'not sent by this host'),
    ...some(kernelDrops, 'dropped by the server\'s kernel (all senders)')
  ]
  const unused = [
    ...some(others.shed, 'dropped because buffers were full (all senders)'),
    ...some(others.malformed, 'refused (all senders)'),
    ...some(others.denied, 'denied for their key, sender or satellites (all senders)')
  ]
  const uses = unused.length === 0 ? '' : `; ${unused.join(', ')}`
  if (received === null || missing === null) {
    return [['Received', `unknown: the server did not report on ${name}${uses}`]]
  }
  return [
    ['Received', `${formatCount(received)} of ${formatCount(sent)} packets of ${name}${uses}`],
    ['Missing', `${formatCount(missing)} packets${causes.length === 0 ? '' : `: ${causes.join(', ')}`}`]
  ]
}

/** Why a run failed, in one line. */
export function verdictText ({ accepted_share: share }: Summary): string {
  if (share === null) {
    return 'error: no points were sent: the run was too short for its rate, or the simulator fell behind'
  }
  return `error: ${percent(share)} of the points were accepted; ${percent(ACCEPTED_SHARE_MIN)} required`
}

function describeSkipped ({ skipped_late: late, skipped_unanswered: unanswered }: Summary): string {
  const reasons = [
    ...(late === 0 ? [] : [`${formatCount(late)} because the simulator fell behind`]),
    ...(unanswered === 0 ? [] : [`${formatCount(unanswered)} because too many were unanswered`])
  ]
  return formatCount(late + unanswered) + (reasons.length === 0 ? '' : `: ${reasons.join(', ')}`)
}

const NOT_TRUSTED = 'the server\'s certificate is not trusted; name its root with --ca'

const CAUSES: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'connection refused',
  ECONNRESET: 'connection reset by the server; if it serves TLS, its address must begin with https://',
  lost: 'lost in the network, estimated from missing packets',
  EPIPE: 'connection closed by the server',
  closed: 'connection closed by the server before it answered',
  timeout: 'timed out',
  TimeoutError: 'timed out',
  DEPTH_ZERO_SELF_SIGNED_CERT: NOT_TRUSTED,
  SELF_SIGNED_CERT_IN_CHAIN: NOT_TRUSTED,
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: NOT_TRUSTED,
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: NOT_TRUSTED,
  CERT_HAS_EXPIRED: 'the server\'s certificate has expired',
  ERR_TLS_CERT_ALTNAME_INVALID: 'the server\'s certificate is for another name'
}

/** A cause of failure in words, with its code. */
export function describeCause (cause: string): string {
  const words = CAUSES[cause]
  return words === undefined ? cause : `${words} (${cause})`
}

/** Milliseconds with about three significant digits. */
export function milliseconds (value: number): string {
  const decimals = value < 10 ? 2 : value < 100 ? 1 : 0
  return `${value.toFixed(decimals)} ms`
}

/** Truncated, not rounded: 98.999% must not read as 99%. */
function percent (share: number): string {
  return `${(Math.floor(share * 10_000 + 1e-6) / 100).toFixed(2)}%`
}

function round (value: number, decimals: number): number {
  return Number(value.toFixed(decimals))
}
