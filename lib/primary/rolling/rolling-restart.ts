/**
 * Replaces all workers, one after another, without refusing a request or losing a point.
 *
 *   successor starts in a free slot ─▶ ready: both listen on the same port ─▶ the old one retires ─▶ it has exited
 *
 * New connections and packets go to the successor as soon as the old worker stops listening; what that one began, it
 * finishes. Its spool is empty then, and its slot is free for the next one; otherwise the first worker drains it.
 *
 * Stops at the first worker that cannot be replaced, which then serves on.
 */
import { migratesConnections } from '../../host/connection-migration.js'
import type { Log } from '../../support/log.js'
import { versionOnDisk, version } from '../../support/version.js'
import { databaseError } from '../answers/problems.js'
import { slotsInUse } from '../leftovers.js'
import type { Slot, Slots } from '../slots.js'

export interface RollingParts {
  readonly slots: Pick<Slots, 'all' | 'send' | 'startSuccessor' | 'retire'>
  readonly log: Log
  /** Brings the reports of the workers up to date. */
  readonly refresh: () => Promise<void>
}

export interface RestartOutcome {
  readonly ok: boolean
  /** A sentence. */
  readonly message: string
}

/** Why workers of the version on disk must not be started; null: nothing speaks against it. */
export function versionHindrance (running: string, disk: string): string | null {
  if (running === disk) return null
  return `The server runs version ${running}, but the program on disk is version ${disk}, whose workers do not fit ` +
    'its primary process. To change versions, stop the server and start it again, or hand over to another one first; ' +
    'see "Upgrade" in docs/OPERATE.md.'
}

function diskHindrance (): string | null {
  try {
    return versionHindrance(version(), versionOnDisk())
  } catch (error) {
    return `The program on disk cannot be read, so no worker can be started: ${(error as Error).message}`
  }
}

export class RollingRestart {
  /** Slots that were left with points in this restart; reports name them once they are being drained. */
  private readonly leftOver = new Set<number>()
  /** Why the last one stopped; null: it did not. */
  fault: string | null = null

  constructor (private readonly parts: RollingParts) {}

  /** Never rejects. One at a time: restart-requests.ts. */
  async run (): Promise<RestartOutcome> {
    const { log } = this.parts
    this.fault = await this.replaceAll()
    if (this.fault !== null) {
      log.error({ cause: this.fault }, 'the rolling restart stopped; the remaining workers keep serving')
      return { ok: false, message: this.fault }
    }
    const message = 'All workers were replaced.'
    log.info(message)
    return { ok: true, message }
  }

  private async replaceAll (): Promise<string | null> {
    const { slots, log } = this.parts
    const old = [...slots.all]
    this.leftOver.clear()
    log.info({ workers: old.length }, 'rolling restart: replacing the workers one by one')
    if (old.some(({ engine }) => engine === 'uws') && !await migratesConnections()) log.warn(RESETS)
    for (const slot of old) {
      const fault = await this.hindrance() ?? await this.replace(slot)
      if (fault !== null) return fault
    }
    return null
  }

  private async hindrance (): Promise<string | null> {
    const { slots, refresh } = this.parts
    const other = diskHindrance()
    if (other !== null) return other
    await refresh()
    const down = slots.all.find(({ state }) => state !== 'ready')
    if (down !== undefined) return `Worker ${down.number} is ${down.state}; ${RETRY}`
    const error = databaseError(slots.all)
    return error === null ? null : `Database writes are failing (${error}); ${RETRY}`
  }

  private async replace (slot: Slot): Promise<string | null> {
    const { slots, log } = this.parts
    const successor = await slots.startSuccessor(slot, this.freeNumber())
    const failed = `The worker that was to replace worker ${slot.number} failed: `
    if (typeof successor === 'string') return failed + successor
    const isFirst = slots.all[0] === slot
    const death = await slots.retire(slot)
    const isEmpty = death === null && slot.report?.waiting === 0
    if (isFirst || !isEmpty) this.drainOrphans(isEmpty ? slot : null)
    if (!isEmpty) this.leftOver.add(slot.number)
    const numbers = { slot: slot.number, successor: successor.number }
    if (death === null) log.info(numbers, 'a worker was replaced')
    else log.error({ ...numbers, cause: death }, 'a worker died while being replaced; its spool will be stored')
    return null
  }

  /** @param free a slot without a worker and without points; null: none is known */
  private drainOrphans (free: Slot | null): void {
    const { slots } = this.parts
    const [first] = slots.all
    if (first === undefined) return
    const inUse = [...slotsInUse(slots.all, first), ...free === null ? [] : [free.number]]
    slots.send(first, { type: 'orphans', slotsInUse: inUse })
  }

  /** Of a slot that has no worker and is not being drained. */
  private freeNumber (): number {
    const { leftOver, parts: { slots } } = this
    const held = slots.all.flatMap(({ number, report }) => [number, ...report?.orphans ?? []])
    const taken = new Set([...leftOver, ...held])
    let number = 0
    while (taken.has(number)) number++
    return number
  }
}

const RESETS = 'net.ipv4.tcp_migrate_req is not 1: a connection that is being opened at the moment when a worker ' +
  'stops listening is reset by the kernel; its client has to connect again. See "Rolling restart" in docs/OPERATE.md'
const RETRY = 'restart again when /health is healthy.'
