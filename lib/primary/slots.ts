/**
 * Worker processes by slot: forks them, restarts those that die, stops them.
 *
 *   gone ──start()──▶ starting ──'ready'──▶ ready
 *                      ▲    │                 │
 *            after a delay  │ died            │ died
 *                      │    ▼                 │
 *                      waiting ◀──────────────┘
 *
 *   starting, ready ──stop()──▶ stopping ──exit──▶ gone
 *   waiting ──stop(), or no vital slot survives──▶ gone
 *
 * Any other transition is a programmer's error and throws.
 *
 * A slot keeps its number, so a new process resumes where the dead one left off. The first time, a dead worker is
 * replaced at once; if it keeps dying soon after its start, with an exponential delay. After five such deaths in a row
 * the slot is broken (its spool cannot be opened, for example): the others keep serving, and it is retried. Once every
 * vital slot is broken, the server gives up and says why.
 */
import { strict as assert } from 'node:assert'
import cluster, { type Worker } from 'node:cluster'
import type { Log } from '../support/log.js'
import { dispatch } from '../messages/messages.js'
import type { PrimaryHandlers, ToPrimary, ToWorker, WorkerReport, WorkerSettings } from '../messages/messages.js'

export type SlotState = 'starting' | 'ready' | 'waiting' | 'stopping' | 'gone'

const TRANSITIONS: Readonly<Record<SlotState, readonly SlotState[]>> = {
  gone: ['starting'],
  starting: ['ready', 'waiting', 'stopping'],
  ready: ['waiting', 'stopping'],
  waiting: ['starting', 'gone'],
  stopping: ['gone']
}

/** A worker that dies this soon failed to start. */
const QUICK_DEATH_MS = 10_000
const QUICK_DEATHS_MAX = 5
const RESTART_MS_MIN = 50
const RESTART_MS_MAX = 60_000

export interface Slot {
  readonly number: number
  state: SlotState
  worker: Worker | null
  startedMs: number
  diedMs: number
  /** In a row. */
  quickDeaths: number
  restarts: number
  engine: string
  /** Cause of the last death. */
  lastDeath: string | null
  /** What this worker gave as the reason for its exit. */
  fatal: string | null
  /** The latest of this worker. */
  report: WorkerReport | null
  timer: NodeJS.Timeout | null
}

export interface SlotsOptions {
  readonly count: number
  /** The first slots are vital, those of HTTP workers: one of them must survive. */
  readonly vitalCount: number
  readonly exec: string
  readonly log: Log
  readonly settingsFor: (slot: number) => WorkerSettings
  /** Called once the slot reflects the message. */
  readonly handlers: Omit<PrimaryHandlers<Slot>, 'hello' | 'fatal'>
  /** A worker died; the slot still has its last report. */
  readonly onDeath: (slot: Slot) => void
  /** Every vital slot is broken: the server should exit. */
  readonly onGiveUp: (reason: string) => void
}

/** It keeps dying and is not expected to serve soon. */
export function isBroken ({ state, quickDeaths }: Slot): boolean {
  return state !== 'ready' && quickDeaths >= QUICK_DEATHS_MAX
}

/**
 * What a request allocates dies young: a small young generation stays in the processor's cache and makes a worker 30 MB
 * smaller, at no measurable cost.
 */
const YOUNG_HEAP_MB = 4
/** Garbage allowed before the old generation is collected, relative to live memory. V8's default is 100 to 200 %. */
const OLD_HEAP_GROWTH_PERCENT = 50
/** For glibc (mallopt(3)): large buffers return to the system as soon as they are freed; threads share arenas. */
const WORKER_ENVIRONMENT = { MALLOC_MMAP_THRESHOLD_: '32768', MALLOC_ARENA_MAX: '2' }

export class Slots {
  readonly all: readonly Slot[]
  private readonly handlers: PrimaryHandlers<Slot>
  private readonly onGone = new Set<() => void>()
  private stopping = false

  constructor (private readonly options: SlotsOptions) {
    const { count, exec, handlers } = options
    const heapFlags = [`--max-semi-space-size=${YOUNG_HEAP_MB}`, `--heap-growing-percent=${OLD_HEAP_GROWTH_PERCENT}`]
    cluster.setupPrimary({ exec, args: [], execArgv: [...process.execArgv, ...heapFlags] })
    this.all = Array.from({ length: count }, (_, number) => createSlot(number))
    this.handlers = {
      ...handlers,
      hello: (_, slot) => this.begin(slot),
      ready: (message, slot) => {
        this.serves(slot, message.engine)
        handlers.ready(message, slot)
      },
      report: (message, slot) => {
        slot.report = message.report
        handlers.report(message, slot)
      },
      fatal: ({ message }, slot) => { slot.fatal = message }
    }
  }

  start (): void {
    for (const slot of this.all) this.fork(slot)
  }

  /** @param onSent called when the message has left this process or can no longer; never called without a worker */
  send (slot: Slot, message: ToWorker, onSent: () => void = () => {}): void {
    if (slot.worker?.isConnected() === true) slot.worker.send(message, () => onSent())
  }

  sendToAll (message: ToWorker): void {
    for (const slot of this.all) this.send(slot, message)
  }

  /** Asks every worker to finish; resolves when all are gone. Kills those that outlast deadlineMs and graceMs. */
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
    if (slot.state === 'waiting') enter(slot, 'gone')
    if (slot.state === 'starting' || slot.state === 'ready') enter(slot, 'stopping')
    this.send(slot, { type: 'stop', deadlineMs })
  }

  private fork (slot: Slot): void {
    enter(slot, 'starting')
    const worker = cluster.fork(WORKER_ENVIRONMENT)
    slot.worker = worker
    slot.startedMs = performance.now()
    slot.fatal = null
    // A dead worker's last events must not be taken for those of its successor.
    worker.on('message', (message: ToPrimary) => {
      if (slot.worker === worker) dispatch(this.handlers, message, slot)
    })
    // A broken channel is followed by 'exit', which handles the death; a process that the system refuses is not.
    worker.on('error', (error) => {
      if (slot.worker !== worker || worker.process.pid !== undefined) return
      slot.fatal = error.message
      this.died(slot, 'no process')
    })
    worker.on('exit', (code: number, signal: string | null) => {
      if (slot.worker === worker) this.died(slot, signal === null ? `exit code ${code}` : `signal ${signal}`)
    })
  }

  private begin (slot: Slot): void {
    this.send(slot, { type: 'start', settings: this.options.settingsFor(slot.number) })
    // A worker ignores a stop that arrives before its start.
    if (slot.state === 'stopping') this.send(slot, { type: 'stop', deadlineMs: 0 })
  }

  private serves (slot: Slot, engine: string): void {
    slot.engine = engine
    if (slot.state === 'stopping') return
    enter(slot, 'ready')
    if (slot.restarts === 0) return
    const afterMs = Math.round(performance.now() - slot.diedMs)
    this.options.log.info({ slot: slot.number, afterMs }, 'the new worker is serving')
  }

  private died (slot: Slot, how: string): void {
    slot.worker = null
    slot.diedMs = performance.now()
    if (this.stopping) {
      enter(slot, 'gone')
    } else {
      slot.lastDeath = slot.fatal ?? how
      slot.quickDeaths = slot.diedMs - slot.startedMs < QUICK_DEATH_MS ? slot.quickDeaths + 1 : 1
      enter(slot, 'waiting')
    }
    this.options.onDeath(slot)
    slot.report = null
    if (slot.state === 'waiting') this.restart(slot)
    for (const resolve of this.onGone) resolve()
    this.onGone.clear()
  }

  private restart (slot: Slot): void {
    const { log, vitalCount, onGiveUp } = this.options
    const { number, quickDeaths, lastDeath } = slot
    if (this.all.slice(0, vitalCount).every(isBroken)) {
      enter(slot, 'gone')
      const deaths = `died ${quickDeaths} times soon after starting`
      onGiveUp(`worker ${number} ${deaths}, most recently with: ${String(lastDeath)}`)
      return
    }
    const delayMs = quickDeaths === 1 ? 0 : Math.min(RESTART_MS_MAX, RESTART_MS_MIN * 2 ** quickDeaths)
    log.error({ slot: number, cause: lastDeath, delayMs }, 'a worker died; starting a new one')
    slot.restarts++
    slot.timer = setTimeout(() => this.fork(slot), delayMs)
  }
}

function createSlot (number: number): Slot {
  return {
    number,
    state: 'gone',
    worker: null,
    startedMs: 0,
    diedMs: 0,
    quickDeaths: 0,
    restarts: 0,
    engine: '',
    lastDeath: null,
    fatal: null,
    report: null,
    timer: null
  }
}

function enter (slot: Slot, state: SlotState): void {
  assert(TRANSITIONS[slot.state].includes(state), `slot ${slot.number}: ${state} cannot follow ${slot.state}`)
  slot.state = state
}
