/**
 * A run: asks the pacer which points are due and the fleet for their values, and passes them to the outlet.
 *
 * Points that the outlet has no capacity for are skipped and counted, so that a slow server affects neither the rate
 * of the rest nor the memory of this process. A point's time is the moment it was due.
 */
import type { Fleet } from './fleet/model.js'
import type { Pacer, Slice } from './pacer.js'
import type { Outlet } from './send/transport.js'

/** Node.js timers fire up to a millisecond late: this keeps slices within the pacer's 5 ms. */
const TICK_MS = 4

export class Run {
  /** Points not sent because too many were unanswered. */
  skippedPoints = 0
  /** Time of the point being sampled, as sent: whole milliseconds since 1970. */
  pointTimeMs = 0
  private readonly fleet: Fleet
  private readonly pacer: Pacer
  private readonly outlet: Outlet
  private readonly values: Float64Array
  private startWallMs = 0
  private startMs = 0
  private endMs = NaN
  private partialSlices = 0
  private onEnd: () => void = () => {}

  constructor (fleet: Fleet, pacer: Pacer, outlet: Outlet) {
    this.fleet = fleet
    this.values = new Float64Array(fleet.metricCount)
    this.pacer = pacer
    this.outlet = outlet
  }

  /** How long points have been sent, so far or in total. */
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

  /** Ends the run now; points not sent yet never are. */
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
    // setImmediate lets responses be read between two slices, even when the run is late.
    else if (this.pacer.isDue(elapsedMs)) setImmediate(this.tick)
    else setTimeout(this.tick, TICK_MS)
  }

  private sendSlice (slice: Slice): void {
    const count = Math.min(slice.count, this.outlet.room)
    const first = slice.first + this.skip(slice.count - count)
    for (let point = first; point < first + count; point++) {
      const satellite = point % this.fleet.ids.length
      const dueMs = this.pacer.dueMs(point)
      this.pointTimeMs = Math.floor(this.startWallMs + dueMs)
      this.fleet.sample(satellite, dueMs / 1000, this.values)
      this.outlet.send(satellite, this.pointTimeMs, this.values)
    }
  }

  /**
   * Skips points at both ends of a slice, varying the split: otherwise the same satellites would always lose theirs.
   */
  private skip (points: number): number {
    if (points === 0) return 0
    this.skippedPoints += points
    return this.partialSlices++ % (points + 1)
  }
}
