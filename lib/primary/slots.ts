/**
 * Worker processes by slot: forks them, restarts those that die, replaces them, stops them.
 *
 *   gone ──start()──▶ starting ──'ready'──▶ ready
 *                      ▲    │                 │
 *            after a delay  │ died            │ died
 *                      │    ▼                 │
 *                      waiting ◀──────────────┘
 *
 *   starting, ready, retiring ──stop()──▶ stopping ──exit──▶ gone
 *   waiting ──stop(), retire(), or no vital slot survives──▶ gone
 *
 *   starting, ready ──retire()──▶ retiring ──exit──▶ gone
 *   starting ──died as a successor──▶ gone
 *
 * Any other transition is a programmer's error and throws.
 *
 * A slot keeps its number, so a new process resumes where the dead one left off. The first time, a dead worker is
 * replaced at once; if it keeps dying soon after its start, with an exponential delay. After five such deaths in a row
 * the slot is broken (its spool cannot be opened, for example): the others keep serving, and it is retried. Once every
 * vital slot is broken, the server gives up and says why.
 *
 * A worker is replaced by a successor in a slot of its own, with the same listener: it has a spool of its own while the
 * other one empties its spool. A successor that does not become ready is not tried again. Slots that are gone are
 * removed, and their numbers used again.
 */
import { strict as assert } from 'node:assert'
import cluster, { type Worker } from 'node:cluster'
import type { EngineChoice } from '../ingress/http/engines/load-engine.js'
import { systemCode } from '../support/errors.js'
import type { Log } from '../support/log.js'
import { dispatch } from '../messages/messages.js'
import type {
  ListenerSettings, PrimaryHandlers, ToPrimary, ToWorker, WorkerReport, WorkerSettings
} from '../messages/messages.js'

export type SlotState = 'starting' | 'ready' | 'waiting' | 'retiring' | 'stopping' | 'gone'

const TRANSITIONS: Readonly<Record<SlotState, readonly SlotState[]>> = {
  gone: ['starting'],
  starting: ['ready', 'waiting', 'retiring', 'stopping', 'gone'],
  ready: ['waiting', 'retiring', 'stopping'],
  waiting: ['starting', 'gone'],
  retiring: ['stopping', 'gone'],
  stopping: ['gone']
}

/** A worker that dies this soon failed to start. */
const QUICK_DEATH_MS = 10_000
const QUICK_DEATHS_MAX = 5
const RESTART_MS_MIN = 50
/** A successor that takes longer to become ready is given up. */
const START_MS_MAX = 60_000
/** More than a worker that retires allows itself. */
const RETIREMENT_MS_MAX = 1_500_000
/** How a worker exits that was told to. */
const CLEAN = 'exit code 0'
const RESTART_MS_MAX = 60_000

export interface Slot {
  readonly number: number
  readonly listener: ListenerSettings
  /** That which this one takes over from, until it is ready; null: none. */
  takesOverFrom: Slot | null
  state: SlotState
  worker: Worker | null
  startedMs: number
  /** When this worker last answered: it is asked for a report every second. */
  heardMs: number
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
  /** One worker for each. Those of HTTP workers are vital: one of them must survive. */
  readonly listeners: readonly ListenerSettings[]
  readonly exec: string
  readonly httpEngine: EngineChoice['name']
  readonly log: Log
  readonly settingsFor: (slot: Slot) => WorkerSettings
  /** Called once the slot reflects the message. */
  readonly handlers: Omit<PrimaryHandlers<Slot>, 'hello' | 'fatal'>
  /** A worker died; the slot still has its last report. @param isFinal the server stops: nobody succeeds it */
  readonly onDeath: (slot: Slot, isFinal: boolean) => void
  /** Every vital slot is broken: the server should exit. */
  readonly onGiveUp: (reason: string) => void
}

/** It keeps dying and is not expected to serve soon. */
export function isBroken ({ state, quickDeaths }: Slot): boolean {
  return state !== 'ready' && quickDeaths >= QUICK_DEATHS_MAX
}

/**
 * Young generation of a worker. What a request allocates dies young, so a small one, which stays in the processor's
 * cache, costs nothing and makes a worker 30 MB smaller. But it must hold the requests under way: node:http allocates
 * some 5 KB for each. With 4 MB, those of 256 clients are promoted again and again (docs/decisions/0006).
 */
const YOUNG_HEAP_MB: Readonly<Record<EngineChoice['name'], number>> = { uws: 4, node: 16 }
/** Garbage allowed before the old generation is collected, relative to live memory. V8's default is 100 to 200 %. */
const OLD_HEAP_GROWTH_PERCENT = 50
/**
 * For glibc (mallopt(3)): large buffers return to the system as soon as they are freed, those of gzip among them, which
 * take 64 KB; threads share arenas. A lower threshold doubles what a refused upload costs on node:http: V8's compiler
 * allocates pieces of 32 KB, and Node.js copies the rest of the first 64 KB of a request.
 */
const WORKER_ENVIRONMENT = { MALLOC_MMAP_THRESHOLD_: '65536', MALLOC_ARENA_MAX: '2' }

export class Slots {
  /** In the order of their listeners; a successor follows the one that it replaces. */
  readonly all: readonly Slot[]
  /** Workers that died and were replaced. */
  restarts = 0
  private readonly slots: Slot[]
  private readonly handlers: PrimaryHandlers<Slot>
  private readonly onChange = new Set<() => void>()
  private stopping = false

  constructor (private readonly options: SlotsOptions) {
    const { listeners, exec, httpEngine, handlers } = options
    const heapFlags = [
      `--max-semi-space-size=${YOUNG_HEAP_MB[httpEngine]}`, `--heap-growing-percent=${OLD_HEAP_GROWTH_PERCENT}`
    ]
    // A single HTTP worker accepts by itself: handing over each connection costs both processes.
    if (listeners.filter(({ kind }) => kind === 'http').length === 1) cluster.schedulingPolicy = cluster.SCHED_NONE
    cluster.setupPrimary({ exec, args: [], execArgv: [...process.execArgv, ...heapFlags] })
    this.all = this.slots = listeners.map((listener, number) => createSlot(number, listener))
    this.handlers = {
      ...handlers,
      hello: (_, slot) => this.begin(slot),
      ready: (message, slot) => {
        this.serves(slot, message.engine)
        handlers.ready(message, slot)
      },
      report: (message, slot) => {
        slot.report = message.report
        slot.heardMs = performance.now()
        handlers.report(message, slot)
      },
      fatal: ({ message }, slot) => { slot.fatal = message }
    }
  }

  start (): void {
    for (const slot of this.all) this.fork(slot)
  }

  /**
   * @param onSent called when the message has left this process or can no longer
   * @returns false: there is no worker, and onSent is never called
   */
  send (slot: Slot, message: ToWorker, onSent: () => void = () => {}): boolean {
    const isConnected = slot.worker?.isConnected() === true
    if (isConnected) slot.worker?.send(message, () => onSent())
    return isConnected
  }

  sendToAll (message: ToWorker): void {
    for (const slot of this.all) this.send(slot, message)
  }

  /** Starts a successor. Resolves when it is ready, or with the reason why it is not. */
  async startSuccessor (of: Slot, number: number): Promise<Slot | string> {
    assert(this.all.every((slot) => slot.number !== number), 'a slot has one worker')
    const slot = createSlot(number, of.listener, of)
    this.slots.splice(this.slots.indexOf(of) + 1, 0, slot)
    this.fork(slot)
    const kill = setTimeout(() => {
      slot.fatal = `not ready after ${START_MS_MAX / 1000} s`
      slot.worker?.process.kill('SIGKILL')
    }, START_MS_MAX)
    await this.until(() => slot.state !== 'starting')
    clearTimeout(kill)
    return slot.state === 'ready' ? slot : slot.fatal ?? slot.lastDeath ?? 'the server stops'
  }

  /**
   * Has a worker finish what it has begun, because another one does the rest. Resolves when it is gone, with the cause
   * if that was a death. The slot then has its last report.
   */
  async retire (slot: Slot): Promise<string | null> {
    if (slot.timer !== null) clearTimeout(slot.timer)
    if (slot.state === 'waiting') {
      enter(slot, 'gone')
      this.remove(slot)
    }
    if (slot.state === 'starting' || slot.state === 'ready') {
      enter(slot, 'retiring')
      this.send(slot, { type: 'retire' })
    }
    const kill = setTimeout(() => { slot.worker?.process.kill('SIGKILL') }, RETIREMENT_MS_MAX)
    await this.until(() => slot.state === 'gone')
    clearTimeout(kill)
    return slot.lastDeath
  }

  /** Asks every worker to finish; resolves when all are gone. Kills those that outlast deadlineMs and graceMs. */
  async stop (deadlineMs: number, graceMs: number): Promise<void> {
    this.stopping = true
    for (const slot of this.all) this.stopSlot(slot, deadlineMs)
    this.changed()
    const kill = setTimeout(() => {
      for (const slot of this.all) slot.worker?.process.kill('SIGKILL')
    }, deadlineMs + graceMs)
    await this.until(() => this.all.every((slot) => slot.state === 'gone'))
    clearTimeout(kill)
  }

  /** Resolves once it is so; looks after each change of a state. */
  private async until (isSo: () => boolean): Promise<void> {
    while (!isSo()) await new Promise<void>((resolve) => this.onChange.add(resolve))
  }

  private changed (): void {
    for (const resolve of this.onChange) resolve()
    this.onChange.clear()
  }

  private remove (slot: Slot): void {
    const at = this.slots.indexOf(slot)
    if (at >= 0) this.slots.splice(at, 1)
  }

  private stopSlot (slot: Slot, deadlineMs: number): void {
    if (slot.timer !== null) clearTimeout(slot.timer)
    if (slot.state === 'waiting') enter(slot, 'gone')
    if (['starting', 'ready', 'retiring'].includes(slot.state)) enter(slot, 'stopping')
    this.send(slot, { type: 'stop', deadlineMs })
  }

  private fork (slot: Slot): void {
    enter(slot, 'starting')
    slot.startedMs = performance.now()
    slot.fatal = null
    let worker: Worker
    try {
      worker = cluster.fork(WORKER_ENVIRONMENT)
    } catch (error) {
      // Some refusals of the system are thrown, such as ENOMEM; others follow as an event.
      if (systemCode(error) === '') throw error
      slot.fatal = (error as Error).message
      this.died(slot, 'no process')
      return
    }
    slot.worker = worker
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
    this.send(slot, { type: 'start', settings: this.options.settingsFor(slot) })
    // A worker ignores what arrives before its start.
    if (slot.state === 'stopping') this.send(slot, { type: 'stop', deadlineMs: 0 })
    if (slot.state === 'retiring') this.send(slot, { type: 'retire' })
  }

  private serves (slot: Slot, engine: string): void {
    slot.engine = engine
    if (slot.state !== 'starting') return
    enter(slot, 'ready')
    slot.heardMs = performance.now()
    slot.takesOverFrom = null
    this.changed()
    if (slot.restarts === 0) return
    const afterMs = Math.round(performance.now() - slot.diedMs)
    this.options.log.info({ slot: slot.number, afterMs }, 'the new worker is serving')
  }

  private died (slot: Slot, how: string): void {
    slot.worker = null
    slot.diedMs = performance.now()
    const isReplaced = slot.state === 'retiring' || slot.takesOverFrom !== null
    if (this.stopping || isReplaced) {
      slot.lastDeath = slot.fatal ?? (slot.state !== 'starting' && how === CLEAN ? null : how)
      enter(slot, 'gone')
    } else {
      slot.lastDeath = slot.fatal ?? how
      slot.quickDeaths = slot.diedMs - slot.startedMs < QUICK_DEATH_MS ? slot.quickDeaths + 1 : 1
      enter(slot, 'waiting')
    }
    this.options.onDeath(slot, this.stopping)
    if (isReplaced && !this.stopping) this.remove(slot)
    else slot.report = null
    if (slot.state === 'waiting') this.restart(slot)
    this.changed()
  }

  private restart (slot: Slot): void {
    const { log, onGiveUp } = this.options
    const { number, quickDeaths, lastDeath } = slot
    if (this.all.filter(({ listener }) => listener.kind === 'http').every(isBroken)) {
      enter(slot, 'gone')
      const deaths = `died ${quickDeaths} times soon after starting`
      onGiveUp(`worker ${number} ${deaths}, most recently with: ${String(lastDeath)}`)
      return
    }
    const delayMs = quickDeaths === 1 ? 0 : Math.min(RESTART_MS_MAX, RESTART_MS_MIN * 2 ** quickDeaths)
    log.error({ slot: number, cause: lastDeath, delayMs }, 'a worker died; starting a new one')
    slot.restarts++
    this.restarts++
    slot.timer = setTimeout(() => this.fork(slot), delayMs)
  }
}

function createSlot (number: number, listener: ListenerSettings, takesOverFrom: Slot | null = null): Slot {
  return {
    number,
    listener,
    takesOverFrom,
    state: 'gone',
    worker: null,
    startedMs: 0,
    heardMs: 0,
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
