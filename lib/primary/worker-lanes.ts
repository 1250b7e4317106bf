/** Lanes of the replicated log by worker: the one that each writes, and those without a writer that it drains. */
import type { ClaimedLane, OwnLane } from '../lane/lane-table.js'
import type { Slot, Slots } from './slots.js'

export interface LaneEvents {
  /** A lane was sealed and drained by a worker. */
  readonly onLaneDrained: (lane: string, isRemoved: boolean) => void
  /** These lanes are not drained any more, though they are not over. */
  readonly onLanesDropped: (lanes: readonly string[]) => void
}

export class WorkerLanes {
  /** The lane of each worker. */
  private readonly laneOf = new Map<Slot, string>()
  /** The worker that drains each lost lane. */
  private readonly drainers = new Map<string, Slot>()

  constructor (private readonly slots: Pick<Slots, 'all' | 'send'>, private readonly events: LaneEvents) {}

  /** Those that have writers. */
  get own (): readonly OwnLane[] {
    return [...this.laneOf].map(([{ number: slot, state }, lane]) => ({ lane, slot, isOpen: state === 'ready' }))
  }

  /** Those whose ledger does not fit, by the last reports. */
  get halted (): ReadonlySet<string> {
    return new Set(this.slots.all.flatMap(({ report }) => report?.halted ?? []))
  }

  /** A worker is ready for lanes without a writer. */
  get canDrain (): boolean {
    return this.drainer !== undefined
  }

  /** A new worker gets this lane. */
  begin (slot: Slot, lane: string): void {
    this.laneOf.set(slot, lane)
  }

  /** Gives a lane without a writer to a worker; false: none is ready. */
  drain ({ lane, wasOpened, isOld }: ClaimedLane): boolean {
    const slot = this.drainer
    if (slot === undefined) return false
    this.drainers.set(lane, slot)
    this.slots.send(slot, { type: 'drain-lane', lane, wasOpened, isOld })
    return true
  }

  /** Has the worker that drains a lane leave it. */
  leave (lane: string): void {
    const slot = this.drainers.get(lane)
    if (slot !== undefined) this.slots.send(slot, { type: 'leave-lane', lane })
  }

  drained (lane: string, isRemoved: boolean): void {
    this.drainers.delete(lane)
    this.events.onLaneDrained(lane, isRemoved)
  }

  left (lane: string): void {
    this.drainers.delete(lane)
    this.events.onLanesDropped([lane])
  }

  /** Its own lane needs another drain, unless it has nothing left; and so do those that it drained. */
  died (slot: Slot): void {
    const lane = this.laneOf.get(slot)
    this.laneOf.delete(slot)
    const isClean = slot.lastDeath === null && slot.report?.backlog.frames === 0
    if (lane !== undefined && isClean) this.events.onLaneDrained(lane, false)
    const dropped = [...this.drainers].filter(([, drainer]) => drainer === slot).map(([lost]) => lost)
    for (const lost of dropped) this.drainers.delete(lost)
    this.events.onLanesDropped(dropped)
  }

  private get drainer (): Slot | undefined {
    return this.slots.all.find(({ state, listener }) => state === 'ready' && listener.kind === 'http')
  }
}
