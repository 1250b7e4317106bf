/**
 * Distributes the limits from the primary to its workers.
 *
 *   agreed ──new limits──▶ spreading ──every serving worker has confirmed──▶ agreed
 *      └──a worker serves with other limits──▲     └─ for more than five seconds: on /health
 *
 * A starting worker gets the current limits with its settings, so none ever serves without limits. A worker that dies
 * while limits are spreading holds nothing up.
 */
import { strict as assert } from 'node:assert'
import type { NumberedLimits } from '../../limits/limit-set.js'
import type { Slot, Slots } from '../slots.js'

/** A change is answered after this time even if a worker has not confirmed; the answer shows which. */
const CONFIRM_TIMEOUT_MS = 1_000
/** Workers may differ for this long before /health mentions it. */
const DIFFERENCE_MENTIONED_MS = 5_000

export interface WorkerVersion {
  readonly slot: number
  /** 0: no limits yet, since the worker is still starting. */
  readonly version: number
}

type State =
  | { readonly name: 'agreed' }
  /** On the monotonic clock. */
  | { readonly name: 'spreading', readonly sinceMs: number }

export class LimitsDistribution {
  private limits: NumberedLimits | null = null
  private state: State = { name: 'agreed' }
  /** Version in force by slot. */
  private readonly inForce = new Map<number, number>()
  /** Called when the state becomes agreed. */
  private readonly waiters = new Set<() => void>()

  constructor (private readonly slots: Pick<Slots, 'all' | 'sendToAll'>) {}

  /** Version of the current limits; 0: none have been sent. */
  get version (): number {
    return this.limits?.version ?? 0
  }

  /** Makes limits current and sends them to all workers, each of which confirms. */
  send ({ version, set }: NumberedLimits): void {
    this.limits = { version, set }
    this.slots.sendToAll({ type: 'limits', limits: this.limits })
    this.update()
  }

  /** The limits a worker starts with. */
  startWith (slot: number): NumberedLimits {
    assert(this.limits !== null, 'limits are known before a worker starts')
    this.inForce.set(slot, this.limits.version)
    return this.limits
  }

  /** A worker confirmed that it applies these limits. */
  confirm (slot: Slot, version: number): void {
    this.inForce.set(slot.number, version)
    this.update()
  }

  /** A worker serves from now on, with the limits it started with or has confirmed. */
  serves (slot: Slot): void {
    assert(this.versionOf(slot) !== 0, `worker ${slot.number} serves without limits`)
    this.update()
  }

  died (slot: Slot): void {
    this.inForce.delete(slot.number)
    this.update()
  }

  /** Resolves when every serving worker applies the current limits, or after a second. */
  async confirmed (): Promise<void> {
    if (this.state.name === 'agreed') return
    await new Promise<void>((resolve) => {
      const settle = (): void => {
        clearTimeout(timer)
        this.waiters.delete(settle)
        resolve()
      }
      const timer = setTimeout(settle, CONFIRM_TIMEOUT_MS)
      this.waiters.add(settle)
    })
  }

  /** In force in a worker; 0: none. */
  versionOf (slot: Slot): number {
    return this.inForce.get(slot.number) ?? 0
  }

  versions (): WorkerVersion[] {
    return this.slots.all.map((slot) => ({ slot: slot.number, version: this.versionOf(slot) }))
  }

  /** The problem to show on /health; null: none. */
  complaint (): string | null {
    const { state } = this
    if (state.name === 'agreed' || performance.now() - state.sinceMs < DIFFERENCE_MENTIONED_MS) return null
    const behind = this.behind()
    if (behind.length === 0) return null
    const who = behind.length === 1 ? `worker ${behind.join()} does` : `workers ${behind.join(', ')} do`
    return `${who} not apply the current limits (version ${this.version})`
  }

  private update (): void {
    const agreed = this.behind().length === 0
    if (agreed === (this.state.name === 'agreed')) return
    this.state = agreed ? { name: 'agreed' } : { name: 'spreading', sinceMs: performance.now() }
    if (agreed) for (const settle of this.waiters) settle()
  }

  /** Serving workers that apply other limits. */
  private behind (): number[] {
    return this.slots.all
      .filter((slot) => slot.state === 'ready' && this.versionOf(slot) !== this.version)
      .map(({ number }) => number)
  }
}
