/**
 * An open loop over HTTP: request n is due n / rate seconds after the start, whatever became of the earlier ones. One
 * that finds no free connection waits, and its latency counts from the moment that it was due: so a server that
 * stalls cannot hide it (coordinated omission). Node's timers fire up to a millisecond late; that is in the figures.
 */
import { Histogram } from '../../lib/sim/histogram.js'
import { METRICS } from '../../protocol/metrics.js'
import { prepareRequest, type PreparedRequest } from '../bodies.js'
import { pointsOf } from '../points.js'
import { latencyOfHistogram } from '../statistics.js'
import { serveLoad } from './child.js'
import { PROBE_ID, type PacedJob, type PacedResult } from './jobs.js'
import { RawConnection } from './raw-connection.js'

const TICK_MS = 1
/** A server that does not answer for this long has lost. */
const ANSWER_DEADLINE_MS = 20_000
const PROBE_CONNECTIONS = 16

/** Monotonic, and the same clock in every process of the machine. */
export const clockMs = (): number => Number(process.hrtime.bigint()) / 1e6

/** A connection with what is on it. */
interface Lane {
  readonly connection: RawConnection
  dueMs: number
  body: number
}

class PacedSender {
  private readonly sent: number[]
  private readonly acknowledged: number[]
  private readonly statuses: Record<string, number> = {}
  private readonly histogram = new Histogram()
  private readonly idle: Lane[] = []
  private readonly idleProbes: RawConnection[] = []
  private readonly probesDueMs: number[] = []
  private probesAcknowledged = 0
  private probesUnderWay = 0
  private startMs = 0
  /** Number of the next request. */
  private next = 0
  private onEnd: () => void = () => {}

  private constructor (private readonly job: PacedJob, private readonly requests: readonly PreparedRequest[], private readonly lanes: readonly Lane[], private readonly probes: readonly RawConnection[]) {
    this.sent = requests.map(() => 0)
    this.acknowledged = requests.map(() => 0)
    for (const lane of lanes) {
      lane.connection.onAnswer = (status) => this.answered(lane, status)
      this.idle.push(lane)
    }
    for (const probe of probes) {
      probe.onAnswer = (status) => this.probeAnswered(probe, status)
      this.idleProbes.push(probe)
    }
  }

  static async prepare (job: PacedJob): Promise<PacedSender> {
    const { points, target, single } = job
    const requests = Array.from({ length: points.bodies }, (_, body) => prepareRequest(target, pointsOf(points, body), single))
    const open = async (count: number): Promise<RawConnection[]> => await Promise.all(
      Array.from({ length: count }, async () => await RawConnection.open(target.host, target.port)))
    const lanes = (await open(job.connections)).map((connection) => ({ connection, dueMs: 0, body: 0 }))
    return new PacedSender(job, requests, lanes, await open(job.probesPerSecond > 0 ? PROBE_CONNECTIONS : 0))
  }

  async run (): Promise<PacedResult> {
    const ended = new Promise<void>((resolve) => { this.onEnd = resolve })
    this.startMs = clockMs()
    this.tick()
    await ended
    const seconds = (clockMs() - this.startMs) / 1000
    for (const { connection } of this.lanes) connection.close()
    for (const probe of this.probes) probe.close()
    return {
      sent: this.sent,
      acknowledged: this.acknowledged,
      statuses: this.statuses,
      latency: latencyOfHistogram(this.histogram),
      seconds,
      probesDueMs: this.probesDueMs,
      probesAcknowledged: this.probesAcknowledged
    }
  }

  private get total (): number {
    return Math.floor(this.job.requestsPerSecond * this.job.seconds)
  }

  private readonly tick = (): void => {
    const elapsedMs = clockMs() - this.startMs
    this.sendDue(elapsedMs)
    this.sendProbes(elapsedMs)
    const complete = elapsedMs >= this.job.seconds * 1000 && this.next >= this.total && this.idle.length === this.lanes.length && this.probesUnderWay === 0
    if (complete || elapsedMs > this.job.seconds * 1000 + ANSWER_DEADLINE_MS) this.onEnd()
    else setTimeout(this.tick, TICK_MS)
  }

  private sendDue (elapsedMs: number): void {
    const { requestsPerSecond } = this.job
    const due = Math.min(this.total, Math.floor(elapsedMs * requestsPerSecond / 1000) + 1)
    while (this.next < due) {
      const lane = this.idle.pop()
      if (lane === undefined) return
      lane.dueMs = this.startMs + this.next * 1000 / requestsPerSecond
      lane.body = this.next++ % this.requests.length
      ;(this.sent[lane.body] as number)++
      const request = this.requests[lane.body] as PreparedRequest
      // There are more bodies than connections: this one is not on its way.
      request.refresh(Date.now())
      lane.connection.send(request.bytes)
    }
  }

  private answered (lane: Lane, status: number): void {
    const nowMs = clockMs()
    this.histogram.record((nowMs - lane.dueMs) * 1000)
    this.statuses[status] = (this.statuses[status] ?? 0) + 1
    if (status >= 200 && status < 300) (this.acknowledged[lane.body] as number)++
    this.idle.push(lane)
    // A request that waits for a connection goes at once.
    this.sendDue(nowMs - this.startMs)
  }

  private sendProbes (elapsedMs: number): void {
    const { probesPerSecond, seconds } = this.job
    const due = Math.floor(Math.min(elapsedMs, seconds * 1000) * probesPerSecond / 1000)
    while (this.probesDueMs.length < due) {
      const connection = this.idleProbes.pop()
      if (connection === undefined) return
      const number = this.probesDueMs.length
      this.probesDueMs.push(this.startMs + (number + 1) * 1000 / probesPerSecond)
      this.probesUnderWay++
      connection.send(this.probeRequest(number))
    }
  }

  private probeRequest (number: number): Buffer {
    const { host, port } = this.job.target
    const body = JSON.stringify({ satellite_id: PROBE_ID, [METRICS[1].name]: number })
    return Buffer.from(`POST ${this.job.probePath} HTTP/1.1\r\nHost: ${host}:${port}\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`)
  }

  private probeAnswered (connection: RawConnection, status: number): void {
    this.probesUnderWay--
    if (status >= 200 && status < 300) this.probesAcknowledged++
    this.idleProbes.push(connection)
  }
}

serveLoad<PacedResult>((job: PacedJob) => PacedSender.prepare(job))
