/**
 * Requests that wait for the points of a batch, and their deadline: while the database is down or a disk hangs, clients
 * must neither wait forever nor pile up.
 *
 * Every request is answered once. One that is still waiting for a commit at the deadline, or when the server stops, is
 * told that its points are on disk if they are, and otherwise that the outcome is unknown.
 */
import type { ErrorCode } from '../support/errors.js'
import type { AckLevel, OnAck } from './intake.js'

/** Longer than a database failover takes, shorter than clients and proxies wait for an answer (nginx: 60 s). */
export const ACK_DEADLINE_MS = 30_000
/** Requests of one worker that may wait for a commit. */
export const COMMIT_WAITERS_MAX = 4_096
/** Checks for expired requests per deadline. */
const SWEEPS = 10

/** The requests that wait for one batch. */
export class Waiters {
  private spooledWaiters: OnAck[] = []
  private committedWaiters: OnAck[] = []
  private isSpooled = false
  /** On the monotonic clock; set when the batch is closed. */
  closedMs = 0

  constructor (private readonly registry: WaiterRegistry) {}

  get awaitsCommit (): boolean {
    return this.committedWaiters.length > 0
  }

  get isEmpty (): boolean {
    return this.spooledWaiters.length + this.committedWaiters.length === 0
  }

  add (ack: AckLevel, onAck: OnAck): void {
    if (ack === 'received') {
      onAck(null)
    } else if (ack === 'spooled') {
      this.spooledWaiters.push(onAck)
      this.registry.underWay++
    } else {
      this.committedWaiters.push(onAck)
      this.registry.underWay++
      this.registry.committing++
    }
  }

  spooled (error: ErrorCode | null): void {
    this.isSpooled = error === null
    const told = this.spooledWaiters
    this.spooledWaiters = []
    this.registry.underWay -= told.length
    for (const onAck of told) onAck(error)
    if (error !== null) this.committed(error)
    else this.leaveIfEmpty()
  }

  committed (error: ErrorCode | null): void {
    // Points on disk are stored by the next process, if not by this one.
    const ack = error !== null && this.isSpooled ? 'on_disk' : error
    const told = this.committedWaiters
    this.committedWaiters = []
    this.registry.underWay -= told.length
    this.registry.committing -= told.length
    for (const onAck of told) onAck(ack)
    this.leaveIfEmpty()
  }

  expire (): void {
    if (this.isSpooled) this.committed('outcome_unknown')
    else this.spooled('outcome_unknown')
  }

  private leaveIfEmpty (): void {
    if (this.isEmpty) this.registry.tidy()
  }
}

/** All requests of a worker that wait for an answer. */
export class WaiterRegistry {
  /** Requests that wait for an answer, including those of the open batch. */
  underWay = 0
  /** Requests that wait for a commit, including those of the open batch. */
  committing = 0
  /** By batch, oldest first. The first is not empty; later ones may be. */
  private readonly closed: Waiters[] = []
  private timer: NodeJS.Timeout | null = null

  constructor (private readonly deadlineMs: number = ACK_DEADLINE_MS) {}

  enter (waiters: Waiters): void {
    if (waiters.isEmpty) return
    waiters.closedMs = performance.now()
    this.closed.push(waiters)
    if (this.timer !== null) return
    this.timer = setInterval(() => this.sweep(), this.deadlineMs / SWEEPS)
    this.timer.unref()
  }

  /** Called when some have become empty. */
  tidy (): void {
    while (this.closed[0]?.isEmpty === true) this.closed.shift()
  }

  private sweep (): void {
    const expiredMs = performance.now() - this.deadlineMs
    for (let first = this.closed[0]; first !== undefined && first.closedMs <= expiredMs; first = this.closed[0]) {
      first.expire()
    }
    if (this.closed.length > 0 || this.timer === null) return
    clearInterval(this.timer)
    this.timer = null
  }
}
