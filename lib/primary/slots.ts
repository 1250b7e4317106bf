/**
 * Worker processes by slot: forks them, restarts those that die, ends them.
 *
 *   starting → ready → (dies) → waiting → starting …      stop: → stopping → gone
 *
 * A slot keeps its number, so that a new process goes on where the dead one ended. A worker that dies is replaced
 * at once; if it dies again and again soon after its start, after a growing time. From the fifth time in a row on its slot
 * is broken (its spool cannot be opened, say): the others serve on, and it is tried again. When all HTTP workers are
 * broken, the program gives up and says why.
 */
import cluster, { type Worker } from 'node:cluster'
import type { Log } from '../support/log.js'
import type { ToPrimary, ToWorker, WorkerReport, WorkerSettings } from '../messages/messages.js'

export type SlotState = 'starting' | 'ready' | 'waiting' | 'stopping' | 'gone'

/** A death this soon after the start counts as a failed start. */
const QUICK_DEATH_MS = 10_000
const QUICK_DEATHS_MAX = 5
const RESTART_MS_MIN = 50
const RESTART_MS_MAX = 60_000

export interface Slot {
  readonly number: number
  /** Version of the limits that its worker is known to judge by; 0 while there is none. */
  limitsVersion: number
  state: SlotState
  worker: Worker | null
  startedMs: number
  diedMs: number
  quickDeaths: number
  restarts: number
  engine: string
  /** Why it died last. */
  lastDeath: string | null
  fatal: string | null
  report: WorkerReport | null
  timer: NodeJS.Timeout | null
}

export interface SlotsOptions {
  readonly count: number
  readonly exec: string
  readonly log: Log
  readonly settingsFor: (slot: number) => WorkerSettings
  readonly onMessage: (slot: Slot, message: ToPrimary) => void
  /** A worker has died; its last report is still there. */
  readonly onDeath: (slot: Slot) => void
  /** Slots of which one must live: those that HTTP listens in. */
  readonly vitalCount: number
  /** None of these can be kept alive: the program should end. */
  readonly onGiveUp: (reason: string) => void
}

/** It died again and again, and is not expected to serve soon. */
export function isBroken ({ state, quickDeaths }: Slot): boolean {
  return state !== 'ready' && quickDeaths >= QUICK_DEATHS_MAX
}

/** What a request leaves dies young: a small nursery keeps it in the processor's cache and a worker 30 MB smaller, at no cost that could be measured. */
const YOUNG_HEAP_MB = 4
/** Of what is alive: that much garbage may gather before the old heap is collected. V8 alone allows two to three times as much as is alive. */
const OLD_HEAP_GROWTH_PERCENT = 50
/** For glibc: memory of large buffers goes back to the system when they are freed, also after many of them, and threads share arenas (mallopt(3)). */
const WORKER_ENVIRONMENT = { MALLOC_MMAP_THRESHOLD_: '32768', MALLOC_ARENA_MAX: '2' }

export class Slots {
  readonly all: readonly Slot[]
  private readonly onGone = new Set<() => void>()
  private stopping = false

  constructor (private readonly options: SlotsOptions) {
    cluster.setupPrimary({ exec: options.exec, args: [], execArgv: [...process.execArgv, `--max-semi-space-size=${YOUNG_HEAP_MB}`, `--heap-growing-percent=${OLD_HEAP_GROWTH_PERCENT}`] })
    this.all = Array.from({ length: options.count }, (_, number) => ({
      number, limitsVersion: 0, state: 'gone', worker: null, startedMs: 0, diedMs: 0, quickDeaths: 0, restarts: 0, engine: '', lastDeath: null, fatal: null, report: null, timer: null
    }))
  }

  start (): void {
    for (const slot of this.all) this.fork(slot)
  }

  /** @param onSent called when the message has left this process, or cannot any more; not called if there is no worker */
  send (slot: Slot, message: ToWorker, onSent: () => void = () => {}): void {
    if (slot.worker?.isConnected() === true) slot.worker.send(message, () => onSent())
  }

  /** Asks every worker to finish; resolves when all are gone. After deadlineMs and a little grace they are killed. */
  async stop (deadlineMs: number, graceMs: number): Promise<void> {
    this.stopping = true
    for (const slot of this.all) this.stopSlot(slot, deadlineMs)
    const kill = setTimeout(() => {
      for (const slot of this.all) slot.worker?.process.kill('SIGKILL')
    }, deadlineMs + graceMs)
    await this.allGone()
    clearTimeout(kill)
  }

  private async allGone (): Promise<void> {
    while (this.all.some((slot) => slot.state !== 'gone')) {
      await new Promise<void>((resolve) => this.onGone.add(resolve))
    }
  }

  private stopSlot (slot: Slot, deadlineMs: number): void {
    if (slot.timer !== null) clearTimeout(slot.timer)
    if (slot.worker === null) {
      slot.state = 'gone'
    } else {
      slot.state = 'stopping'
      this.send(slot, { type: 'stop', deadlineMs })
    }
  }

  private fork (slot: Slot): void {
    const worker = cluster.fork(WORKER_ENVIRONMENT)
    slot.worker = worker
    slot.state = 'starting'
    slot.startedMs = performance.now()
    slot.fatal = null
    worker.on('message', (message: ToPrimary) => {
      // What a dead worker still had to say must not count for the one that took its place.
      if (slot.worker === worker) this.receive(slot, message)
    })
    worker.on('error', (error) => this.failed(slot, worker, error))
    worker.on('exit', (code: number, signal: string | null) => this.died(slot, code, signal))
  }

  private begin (slot: Slot, settings: WorkerSettings): void {
    slot.limitsVersion = settings.limits.version
    this.send(slot, { type: 'start', settings })
  }

  private receive (slot: Slot, message: ToPrimary): void {
    switch (message.type) {
      case 'hello':
        this.begin(slot, this.options.settingsFor(slot.number))
        if (this.stopping) this.stopSlot(slot, 0)
        break
      case 'ready':
        slot.engine = message.engine
        if (slot.state === 'starting') slot.state = 'ready'
        if (slot.restarts > 0) this.options.log.info({ slot: slot.number, afterMs: Math.round(performance.now() - slot.diedMs) }, 'the new worker serves')
        break
      case 'report':
        slot.report = message.report
        break
      case 'limits-in-force':
        slot.limitsVersion = message.version
        break
      case 'fatal':
        slot.fatal = message.message
        break
      case 'ask':
      case 'found':
      case 'watch':
      case 'unwatch':
      case 'senders':
    }
    this.options.onMessage(slot, message)
  }

  /** A channel that breaks is followed by 'exit', which is where deaths are handled; a process that the system refuses is not. */
  private failed (slot: Slot, worker: Worker, error: Error): void {
    if (worker.process.pid !== undefined || slot.worker !== worker) return
    slot.fatal = error.message
    this.died(slot, 1, null)
  }

  private died (slot: Slot, code: number, signal: string | null): void {
    const { log } = this.options
    slot.worker = null
    slot.diedMs = performance.now()
    this.options.onDeath(slot)
    slot.report = null
    slot.limitsVersion = 0
    if (this.stopping) {
      slot.state = 'gone'
      for (const resolve of this.onGone) resolve()
      this.onGone.clear()
      return
    }
    slot.lastDeath = slot.fatal ?? (signal === null ? `exit code ${code}` : `signal ${signal}`)
    slot.quickDeaths = performance.now() - slot.startedMs < QUICK_DEATH_MS ? slot.quickDeaths + 1 : 1
    slot.state = 'waiting'
    if (this.all.slice(0, this.options.vitalCount).every(isBroken)) {
      slot.state = 'gone'
      this.options.onGiveUp(`worker ${slot.number} died ${slot.quickDeaths} times soon after its start, the last time with: ${slot.lastDeath}`)
      return
    }
    const delayMs = slot.quickDeaths === 1 ? 0 : Math.min(RESTART_MS_MAX, RESTART_MS_MIN * 2 ** slot.quickDeaths)
    log.error({ slot: slot.number, cause: slot.lastDeath, delayMs }, 'a worker died; starting a new one')
    slot.restarts++
    slot.timer = setTimeout(() => this.fork(slot), delayMs)
  }
}
