/**
 * The last numbers of senders with keys, in DATA_DIR/udp-senders-PORT.json: packets that were captured before a restart
 * are not accepted after it. Written every second while such packets arrive, and when the worker stops. So a worker
 * that is killed, or whose machine loses power, may accept again what arrived in its last second.
 *
 * A worker reads the files of all ports, because a key may have been moved to another one.
 */
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { readSmall, writeSmall } from '../host/plain-file.js'
import type { RingMarks } from '../ingress/udp/key-ring.js'
import type { Mark } from '../ingress/udp/keyed-senders.js'
import type { Log } from '../support/log.js'

const NAME = /^udp-senders-\d{1,5}\.json$/
const WRITE_INTERVAL_MS = 1_000

/** Never rejects: a file that is damaged or cannot be read is left out, with a warning. */
export async function readSenderMarks (dataDir: string, log: Pick<Log, 'warn'>): Promise<RingMarks> {
  const names = await readdir(dataDir).catch(() => [])
  return names.filter((name) => NAME.test(name)).flatMap((name) => {
    const path = join(dataDir, name)
    try {
      const marks = JSON.parse(readSmall(path) ?? '[]') as unknown
      if (isRingMarks(marks)) return marks
      log.warn({ path }, 'the file is damaged and ignored; captured UDP packets of its senders may be accepted again')
    } catch (error) {
      log.warn({ path, err: error }, 'the file is ignored; captured UDP packets of its senders may be accepted again')
    }
    return []
  })
}

export interface MarksSource {
  marks (): RingMarks
  counters (): { readonly authenticated: number }
}

export class SenderMarksFile {
  private readonly timer: NodeJS.Timeout
  private writing: Promise<void> = Promise.resolve()
  /** Packets when it was written last; NaN: what it has is out of date. */
  private written = 0
  /** Writes under way, and those that wait for them. */
  private pending = 0
  private stopped = false

  constructor (
    private readonly dataDir: string, private readonly port: number, private readonly source: MarksSource,
    private readonly log: Pick<Log, 'warn'>, intervalMs = WRITE_INTERVAL_MS,
    private readonly writeFile: typeof writeSmall = writeSmall
  ) {
    // On a slow disk, writes must not queue up: each would be waited for when the worker stops.
    this.timer = setInterval(() => { if (this.pending === 0) void this.write() }, intervalMs).unref()
  }

  /** The numbers of another process were taken over, which it may not have written. */
  changed (): void {
    this.written = NaN
  }

  /** Stops writing: another process has taken over, or close() follows. */
  async stop (): Promise<void> {
    clearInterval(this.timer)
    this.stopped = true
    await this.writing
  }

  /** Writes for the last time, unless it was stopped. */
  async close (): Promise<void> {
    if (this.stopped) return
    void this.write()
    await this.stop()
  }

  private async write (): Promise<void> {
    this.pending++
    this.writing = this.writing.then(async () => {
      await this.writeNews()
      this.pending--
    })
    await this.writing
  }

  private async writeNews (): Promise<void> {
    const { authenticated } = this.source.counters()
    if (authenticated === this.written) return
    const path = join(this.dataDir, `udp-senders-${this.port}.json`)
    const text = JSON.stringify(this.source.marks())
    this.written = authenticated
    try {
      await this.writeFile(path, text)
    } catch (error) {
      this.written = NaN
      this.log.warn({ path, err: error },
        'the file could not be written; after a restart, captured UDP packets may be accepted again')
    }
  }
}

function isRingMarks (value: unknown): value is RingMarks {
  const isPair = (pair: unknown): pair is [string, unknown] => (
    Array.isArray(pair) && pair.length === 2 && typeof pair[0] === 'string')
  const isCount = (count: unknown): boolean => Number.isSafeInteger(count) && (count as number) >= -1
  const isMark = (mark: unknown): boolean => {
    const { epoch, highest } = (mark ?? {}) as Partial<Mark>
    return isCount(epoch) && isCount(highest)
  }
  return Array.isArray(value) && value.every((each) => {
    if (!isPair(each)) return false
    const { floor, marks } = (each[1] ?? {}) as { floor?: unknown, marks?: unknown }
    return isCount(floor) && Array.isArray(marks) && marks.every((pair) => isPair(pair) && isMark(pair[1]))
  })
}
