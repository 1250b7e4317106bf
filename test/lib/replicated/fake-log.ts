/**
 * A replicated log in memory, with faults. Nothing happens until step() performs one of the operations that wait: so a
 * seed repeats a history. Appends of one client may be performed out of order, twice, late, or never, with or without
 * an answer; streams may lose their end, be purged, deleted or full.
 */
import {
  LogError, type FoundStream, type ReplicatedLog, type StoredMessage, type StreamName
} from '../../../lib/replicated/replicated-log.js'
import type { Timing } from '../../../lib/replicated/timing.js'

/** Whole numbers from 0 to below - 1. */
export type Random = (below: number) => number

interface Operation {
  readonly isAppend: boolean
  /** Returns what gives the answer, and whether that is a refusal: then no copy of it may arrive later. */
  perform (): { answer: () => void, isRefused: boolean }
  /** There is no answer. */
  lose (): void
}

interface FakeStream {
  readonly name: FoundStream
  /** By position - 1; null: trimmed. */
  messages: Array<Buffer | null>
}

type Fate = 'performed' | 'never' | 'late' | 'twice' | 'answer lost'
const FATES: readonly Fate[] = ['never', 'late', 'twice', 'answer lost']

const keyOf = ({ lane, epoch }: StreamName): string => `${lane}/${epoch}`

/** What all clients share. */
export class FakeServers {
  readonly streams = new Map<string, FakeStream>()
  isFull = false
  /** Copies of appends that arrive some time later. */
  readonly late: Array<() => void> = []

  /** A random stream that has messages. */
  pick (random: Random): FakeStream | null {
    const all = [...this.streams.values()].filter(({ messages }) => messages.length > 0)
    return all[random(all.length)] ?? null
  }
}

/** One client's view. */
export class FakeLog implements ReplicatedLog, Timing {
  readonly messageBytesMax: number
  /** Share of operations that go wrong, in percent. */
  faults = 0
  private operations: Operation[] = []
  private ms = 0

  constructor (private readonly servers: FakeServers, private readonly random: Random, messageBytesMax = 400) {
    this.messageBytesMax = messageBytesMax
  }

  get pending (): number {
    return this.operations.length
  }

  nowMs (): number {
    return this.ms
  }

  advance (milliseconds: number): void {
    this.ms += milliseconds
  }

  async pause (): Promise<void> {
    await new Promise<void>((resolve) => {
      this.operations.push({ isAppend: false, perform: () => ({ answer: resolve, isRefused: false }), lose: resolve })
    })
  }

  /** Performs one operation, usually the oldest. */
  step (): void {
    const { random } = this
    const index = this.faults > 0 && random(4) === 0 ? random(this.operations.length) : 0
    const [operation] = this.operations.splice(index, 1)
    if (operation === undefined) return
    const fate: Fate = random(100) < this.faults ? FATES[random(FATES.length)]! : 'performed'
    if (fate === 'performed') operation.perform().answer()
    else if (fate === 'answer lost') operation.perform()
    else if (fate === 'late' && operation.isAppend) this.servers.late.push(() => { operation.perform() })
    if (fate === 'twice') {
      const { answer, isRefused } = operation.perform()
      if (operation.isAppend && !isRefused) this.servers.late.push(() => { operation.perform() })
      answer()
    }
    operation.lose()
  }

  /** The client is killed: what it had sent may still arrive. */
  kill (): void {
    for (const operation of this.operations.splice(0)) {
      if (operation.isAppend && this.random(2) === 0) this.servers.late.push(() => { operation.perform() })
    }
  }

  async create (name: FoundStream): Promise<void> {
    await this.ask(() => {
      const { streams } = this.servers
      if (!streams.has(keyOf(name))) streams.set(keyOf(name), { name, messages: [] })
    })
  }

  async append (stream: StreamName, position: number, message: Uint8Array): Promise<void> {
    const copy = Buffer.from(message)
    await this.ask(() => {
      const { messages } = this.found(stream)
      if (messages.length !== position - 1) throw new LogError('conflict', `ends at ${messages.length}`)
      if (this.servers.isFull) throw new LogError('full', 'full')
      messages.push(copy)
    }, true)
  }

  async last (stream: StreamName): Promise<number> {
    return await this.ask(() => this.found(stream).messages.length)
  }

  async next (stream: StreamName, from: number): Promise<StoredMessage | null> {
    return await this.ask(() => {
      const { messages } = this.found(stream)
      const index = messages.findIndex((message, at) => at >= from - 1 && message !== null)
      const bytes = messages[index]
      return bytes == null ? null : { position: index + 1, bytes: Buffer.from(bytes) }
    })
  }

  async trim (stream: StreamName, through: number): Promise<void> {
    await this.ask(() => { this.found(stream).messages.fill(null, 0, through) })
  }

  async list (lane?: string): Promise<readonly FoundStream[]> {
    return await this.ask(() => [...this.servers.streams.values()].map(({ name }) => name)
      .filter((name) => lane === undefined || name.lane === lane))
  }

  async remove (stream: StreamName): Promise<void> {
    await this.ask(() => { this.servers.streams.delete(keyOf(stream)) })
  }

  async close (): Promise<void> {
    await Promise.resolve()
  }

  private found (stream: StreamName): FakeStream {
    const found = this.servers.streams.get(keyOf(stream))
    if (found === undefined) throw new LogError('missing', `no stream ${keyOf(stream)}`)
    return found
  }

  private async ask<T> (work: () => T, isAppend = false): Promise<T> {
    return await new Promise<T>((resolve, reject) => {
      this.operations.push({
        isAppend,
        perform: () => {
          try {
            const result = work()
            return { answer: () => { resolve(result) }, isRefused: false }
          } catch (error) {
            const reason = error as LogError
            return { answer: () => { reject(reason) }, isRefused: true }
          }
        },
        lose: () => { reject(new LogError('away', 'no answer')) }
      })
    })
  }
}

/** More than any chain of promises between two operations. A turn of the event loop would take ten times as long. */
const MICROTASKS = 24
const DONE = Promise.resolve()

/** Lets everything finish that does not wait for the log. */
export async function flush (): Promise<void> {
  for (let turn = 0; turn < MICROTASKS; turn++) await DONE
}

/** Performs operations until the promise is settled. */
export async function pump<T> (log: FakeLog, promise: Promise<T>): Promise<T> {
  const state = { done: false }
  const finished = promise.finally(() => { state.done = true })
  finished.catch(() => {})
  await flush()
  for (let operations = 0; !state.done; operations++) {
    if (log.pending === 0 || operations > 100_000) throw new Error('waits for nothing')
    log.step()
    await flush()
  }
  return await finished
}
