/**
 * A run: asks the pacer what is due, the fleet for the points, and hands them to the transport.
 *
 * Points that the transport has no room for are skipped and counted, so that a slow server changes neither the rate of
 * the others nor the memory of this process. A point's time is the moment when it was due.
 */
import type { Fleet } from './fleet/model.js'
import type { Pacer, Slice } from './pacer.js'
import type { Transport } from './send/transport.js'
import { METRIC_COUNT } from '../../protocol/metrics.js'

/** A timer of Node.js fires up to a millisecond late: this keeps slices within the pacer's 5 ms. */
const TICK_MS = 4

export class Run {
  /** Points not sent because too many had no answer yet. */
  skippedPoints = 0
  /** Time of the point that is sampled, as it is sent: whole milliseconds since 1970. */
  pointTimeMs = 0
  private readonly fleet: Fleet
  private readonly pacer: Pacer
  private readonly transport: Transport
  private readonly values = new Float64Array(METRIC_COUNT)
  private startWallMs = 0
  private startMs = 0
  private endMs = NaN
  private partialSlices = 0
  private onEnd: () => void = () => {}

  constructor (fleet: Fleet, pacer: Pacer, transport: Transport) {
    this.fleet = fleet
    this.pacer = pacer
    this.transport = transport
  }

  /** How long points have been sent, so far or in all. */
  get sendingMs (): number {
    if (this.startMs === 0) return 0
    return (Number.isNaN(this.endMs) ? performance.now() : this.endMs) - this.startMs
  }

  /** Sends until the run's time is up or stop() is called. */
  async start (): Promise<void> {
    const ended = new Promise<void>(resolve => { this.onEnd = resolve })
    this.startWallMs = Date.now()
    this.startMs = performance.now()
    this.tick()
    await ended
  }

  /** Ends the run now; points that are not sent yet are never sent. */
  stop (): void {
    if (!Number.isNaN(this.endMs)) return
    this.endMs = performance.now()
    this.onEnd()
  }

  private readonly tick = (): void => {
    if (!Number.isNaN(this.endMs)) return
    const elapsedMs = performance.now() - this.startMs
    this.sendSlice(this.pacer.take(elapsedMs))
    if (this.pacer.isOver(elapsedMs)) this.stop()
    // Answers are read between two slices, also when the run is late.
    else if (this.pacer.isDue(elapsedMs)) setImmediate(this.tick)
    else setTimeout(this.tick, TICK_MS)
  }

  private sendSlice (slice: Slice): void {
    const count = Math.min(slice.count, this.transport.room)
    const first = slice.first + this.skip(slice.count - count)
    for (let point = first; point < first + count; point++) {
      const satellite = point % this.fleet.ids.length
      const dueMs = this.pacer.dueMs(point)
      this.pointTimeMs = Math.floor(this.startWallMs + dueMs)
      this.fleet.sample(satellite, dueMs / 1000, this.values)
      this.transport.send(satellite, this.pointTimeMs, this.values)
    }
  }

  /** Skips points at both ends of a slice, differently each time: else it would always be the same satellites. */
  private skip (points: number): number {
    if (points === 0) return 0
    this.skippedPoints += points
    return this.partialSlices++ % (points + 1)
  }
}
