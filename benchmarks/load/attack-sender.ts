/**
 * Connections that cost an attacker nothing: heads and bodies that come byte by byte and never end, and readers of
 * streams that never read. Whatever the server closes is opened again, until the load is finished.
 */
import { connect, type Socket } from 'node:net'
import { setTimeout as wait } from 'node:timers/promises'
import { serveLoad } from './child.js'

export interface AttackJob {
  readonly port: number
  readonly slowHeads: number
  readonly slowBodies: number
  readonly silentReaders: number
}

export interface AttackResult {
  /** Connections opened in all. */
  readonly opened: number
  /** Open at the same time: the fewest during the run. */
  readonly openLeast: number
}

interface Kind {
  readonly count: number
  /** Sent at once. */
  readonly request: (at: number) => string
  /** Sent every DRIP_MS. */
  readonly drip: string
}

const DRIP_MS = 2_000
const TURN_MS = 20
/**
 * At the start, and to replace what is closed: a thousand a second, as many as the server cuts off when ten thousand
 * have ten seconds each. More would measure how fast the machine opens connections.
 */
const OPENED_PER_TURN = 20
const OPENING_MS_MAX = 60_000
const STREAMS = ['/feed?parts=fleet,satellites,anomalies', '/anomalies/stream']

function kindsOf ({ slowHeads, slowBodies, silentReaders }: AttackJob): Kind[] {
  const head = 'POST /telemetry HTTP/1.1\r\nHost: x\r\n'
  return [
    { count: slowHeads, request: () => head, drip: 'X: y\r\n' },
    {
      count: slowBodies,
      request: () => `${head}Content-Type: application/json\r\nContent-Length: 100000\r\n\r\n{`,
      drip: ' '
    },
    {
      count: silentReaders,
      request: (at) => `GET ${STREAMS[at % STREAMS.length] ?? ''} HTTP/1.1\r\nHost: x\r\n\r\n`,
      drip: ''
    }
  ]
}

class Attack {
  private readonly sockets: ReadonlyArray<Set<Socket>>
  private readonly state = { isOver: false, opened: 0, openLeast: 0 }
  private readonly running: Promise<void>

  private constructor (private readonly port: number, private readonly kinds: readonly Kind[]) {
    this.sockets = kinds.map(() => new Set<Socket>())
    this.running = this.keepOpen()
  }

  /** Resolves once all connections have been opened, or the server has had long enough to take them. */
  static async begin (job: AttackJob): Promise<Attack> {
    const attack = new Attack(job.port, kindsOf(job))
    const total = job.slowHeads + job.slowBodies + job.silentReaders
    const startMs = performance.now()
    while (attack.open < total && performance.now() - startMs < OPENING_MS_MAX) await wait(TURN_MS)
    return attack
  }

  async run (): Promise<AttackResult> {
    this.state.openLeast = this.open
    await this.running
    for (const sockets of this.sockets) for (const socket of sockets) socket.destroy()
    const { opened, openLeast } = this.state
    return { opened, openLeast }
  }

  finish (): void {
    this.state.isOver = true
  }

  private get open (): number {
    return this.sockets.reduce((sum, { size }) => sum + size, 0)
  }

  private async keepOpen (): Promise<void> {
    let drippedMs = performance.now()
    while (!this.state.isOver) {
      let left = OPENED_PER_TURN
      for (const [at, kind] of this.kinds.entries()) {
        const sockets = this.sockets[at] as Set<Socket>
        while (left > 0 && sockets.size < kind.count) {
          this.openOne(kind, sockets)
          left--
        }
      }
      this.state.openLeast = Math.min(this.state.openLeast, this.open)
      if (performance.now() - drippedMs > DRIP_MS) {
        drippedMs = performance.now()
        this.drip()
      }
      await wait(TURN_MS)
    }
  }

  private openOne ({ request }: Kind, sockets: Set<Socket>): void {
    const socket = connect(this.port, '127.0.0.1')
    const text = request(this.state.opened++)
    // Nothing is ever read.
    socket.once('connect', () => { socket.write(text) })
    socket.on('error', () => {})
    socket.on('close', () => sockets.delete(socket))
    sockets.add(socket)
  }

  private drip (): void {
    for (const [at, { drip }] of this.kinds.entries()) {
      if (drip === '') continue
      for (const socket of this.sockets[at] as Set<Socket>) if (socket.readyState === 'open') socket.write(drip)
    }
  }
}

serveLoad<AttackResult>((job: AttackJob) => Attack.begin(job))
