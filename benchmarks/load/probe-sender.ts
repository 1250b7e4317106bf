/** Probes within a paced load: distinguishable points, in separate requests on separate connections. */
import { BUILT_IN } from '../../protocol/catalogue.js'
import { outcomeOf } from '../outcomes.js'
import { PROBE_ID, type PacedJob } from './jobs.js'
import { RawConnection } from './raw-connection.js'

const CONNECTIONS = 16
/** Takes any number. */
const [, PROBE_METRIC = ''] = BUILT_IN.telemetry.schema.metrics

export class ProbeSender {
  /** When each was due; its number is its index. */
  readonly dueMs: number[] = []
  readonly statuses: Record<string, number> = {}
  acknowledged = 0
  private readonly idle: RawConnection[]

  private constructor (private readonly job: PacedJob, private readonly connections: readonly RawConnection[]) {
    this.idle = [...connections]
    for (const connection of connections) {
      connection.onAnswer = (status, code) => this.answered(connection, status, code)
    }
  }

  static async open (job: PacedJob): Promise<ProbeSender> {
    const count = job.probesPerSecond > 0 ? CONNECTIONS : 0
    return new ProbeSender(
      job,
      await Promise.all(Array.from({ length: count }, async () => await RawConnection.open(job.target)))
    )
  }

  get areAnswered (): boolean {
    return this.idle.length === this.connections.length
  }

  /** Sends the probes that are due, as far as there are idle connections. */
  sendDue (startMs: number, elapsedMs: number): void {
    const { probesPerSecond } = this.job
    const due = Math.floor(elapsedMs * probesPerSecond / 1000)
    while (this.dueMs.length < due) {
      const connection = this.idle.shift()
      if (connection === undefined) return
      const number = this.dueMs.length
      this.dueMs.push(startMs + (number + 1) * 1000 / probesPerSecond)
      connection.send(this.request(number))
    }
  }

  close (): void {
    for (const connection of this.connections) connection.close()
  }

  private request (number: number): Buffer {
    const { target: { host, port }, probePath } = this.job
    const body = JSON.stringify({ satellite_id: PROBE_ID, [PROBE_METRIC]: number })
    return Buffer.from(`POST ${probePath} HTTP/1.1\r\nHost: ${host}:${port}\r\nContent-Type: ` +
      `application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`)
  }

  private answered (connection: RawConnection, status: number, code: string): void {
    const outcome = outcomeOf(status, code)
    this.statuses[outcome] = (this.statuses[outcome] ?? 0) + 1
    if (status >= 200 && status < 300) this.acknowledged++
    this.idle.push(connection)
  }
}
