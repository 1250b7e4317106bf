/**
 * The journal of a lane whose writer is gone: reads the lane's streams from the log, oldest epoch first, from the
 * ledger's position on, and seals the last one.
 *
 *   read, give out, release ──► nothing new for QUIET_MS ──► seal ──► stored: the epoch is over ─► next epoch, or end
 *          ▲                                                   └ refused: the writer is alive ─┐
 *          └───────────────────────────────────────────────────────────────────────────────────┘
 *
 * If the writer was only paused, or cut off from the database, both work side by side: the ledger decides who stores a
 * frame, and the seal tells the writer that its epoch is over (publish/publisher.ts).
 *
 * Each stream but the first says where the epoch before it ended. What lies behind that end is void, whether a seal is
 * in front of it or was purged or lost; an epoch whose end is known needs no seal.
 */
import type { ClosedBatch, Position } from '../journal/journal.js'
import type { Pressure } from '../journal/pressure.js'
import { comparePositions, later, POSITION_START } from '../spool/format/position.js'
import type { KnownEpoch } from '../spool/recover/ledger-position.js'
import { readFrames, type ReadFrame } from './frame-reader.js'
import { epochIdOf, faultOf, type FoundStream, type Reach, type ReplicatedLog } from './replicated-log.js'
import { decodeHeader, encodeSeal } from './message.js'
import type { LaneStream } from './publish/pending.js'
import { StreamJournal, type StreamJournalOptions } from './stream-journal.js'

/** A writer that appended so recently is not sealed. */
const QUIET_MS = 3_000
const POLL_INTERVAL_MS = 500
/** A lane that cannot be read for so long is left: it must not keep others from being drained. */
const AWAY_MS_MAX = 60_000
/** Read at a time, when everything before was stored: so this bounds what is held in memory. */
const READ_BYTES = 4 * 1024 * 1024

export interface LostLaneOptions extends Omit<StreamJournalOptions, 'memoryMaxBytes'> {
  /** The lane has had streams that nobody of us removed. */
  readonly hadStreams: boolean
  /** Default: QUIET_MS. */
  readonly quietMs?: number
}

export class LostLane extends StreamJournal {
  readonly idle = true
  /** Nothing more is read: take() returns null once what was read is stored. */
  isLeft = false
  /** Epochs that have streams, in order; the first is being read. */
  private streams: LaneStream[]
  private readonly lastEpoch: number
  /** The last frame of epochs whose end is known. */
  private readonly ends: ReadonlyMap<number, Reach>
  /** Where to read on in the current stream. */
  private from = 1
  /** The last frame seen of the current stream. */
  private last = { sequence: 0, rows: 0 }
  private grewAtMs: number
  /** Since when it could not be read; null: it can be. */
  private awaySinceMs: number | null = null
  /** Streams are missing, and nobody has been told. */
  private isGone: boolean

  /** For openLostLane only. */
  constructor (private readonly settings: LostLaneOptions, found: readonly FoundStream[], committed: Position) {
    super({ ...settings, memoryMaxBytes: Infinity })
    const epochs = found.map(({ epoch }) => epoch)
    // One that is gone, but whose end is known: it was drained, or deleted.
    const before = found[0] === undefined || found[0].after === null ? [] : [found[0].epoch - 1]
    const { lane } = settings
    this.streams = [...before, ...epochs].map((epoch) => ({ lane, epoch, epochId: epochIdOf({ lane, epoch }) }))
    this.lastEpoch = epochs.at(-1) ?? 0
    this.isGone = settings.hadStreams && found.length === 0
    this.ends = new Map(found.flatMap(({ epoch, after }) => after === null ? [] : [[epoch - 1, after]]))
    this.known = committed
    this.grewAtMs = this.timing.nowMs()
  }

  /** All streams were read to their ends. False: if take() returns null, it was interrupted. */
  get isRead (): boolean {
    return this.streams.length === 0 && !this.isGone
  }

  /** For another process, which reads on. */
  leave (): void {
    this.isLeft = true
    this.wake()
  }

  append (batch: ClosedBatch): void {
    queueMicrotask(() => batch.spooled('shutting_down'))
  }

  pressure (): Pressure {
    return 'none'
  }

  /** Removes the streams of a lane that was drained, and the lane with them. */
  async remove (): Promise<void> {
    for (let epoch = 1; epoch <= this.lastEpoch; epoch++) {
      await this.settings.log.remove({ lane: this.spoolId, epoch })
    }
  }

  /**
   * Any epoch of this lane, to any end: streams that were drained may be gone, and a writer may have stored frames from
   * memory that the log had lost.
   */
  protected epochs (position: Position | null): ReadonlyMap<number, KnownEpoch> {
    const known = new Map<number, KnownEpoch>([[0, { id: null, end: 0 }]])
    if (position === null || position.epoch === 0) return known
    const { epoch } = position
    return known.set(epoch, { id: epochIdOf({ lane: this.spoolId, epoch }), end: Number.POSITIVE_INFINITY })
  }

  protected async more (woken: Promise<true>): Promise<boolean> {
    if (this.isLeft) return false
    const stream = this.streams[0]
    if (stream === undefined) {
      if (this.isGone) this.noteDeleted(this.released)
      return false
    }
    try {
      const read = await readFrames(this.settings.log, stream, this.from, READ_BYTES)
      this.awaySinceMs = null
      if (this.isClosed) return false
      if (read.next !== this.from) this.grewAtMs = this.timing.nowMs()
      this.from = read.next
      for (const frame of read.frames) this.add(stream, frame)
      this.pass(stream, read.reach)
      const end = this.ends.get(stream.epoch) ?? read.seal
      if (end !== null && (read.seal !== null || read.frames.length === 0)) {
        this.pass(stream, end)
        this.next()
      } else if (read.frames.length === 0 && this.isQuiet()) {
        await this.seal(stream)
      } else if (read.frames.length === 0) {
        await Promise.race([woken, this.timing.pause(POLL_INTERVAL_MS)])
      }
    } catch (error) {
      if (faultOf(error) === 'missing') {
        // Deleted, or removed by a process that has drained it: either way nothing is left of it.
        const end = this.ends.get(stream.epoch)
        if (end !== undefined) this.pass(stream, end)
        else if (this.settings.hadStreams) this.noteDeleted({ epoch: stream.epoch, sequence: this.last.sequence })
        this.next()
      } else {
        const nowMs = this.timing.nowMs()
        this.awaySinceMs ??= nowMs
        if (nowMs - this.awaySinceMs >= AWAY_MS_MAX) this.isLeft = true
        else await Promise.race([woken, this.timing.pause(POLL_INTERVAL_MS)])
      }
    }
    return true
  }

  protected async readBack (): Promise<void> {
    await Promise.reject(new Error('a lost lane holds all frames that it has read'))
  }

  private add (stream: LaneStream, frame: ReadFrame): void {
    const { sequence, rows, rowsBefore, last, payload } = frame
    if (sequence <= this.last.sequence || sequence > this.endOf(stream).sequence) return
    this.noteGap(stream, sequence - 1, rowsBefore)
    this.last = { sequence, rows: rowsBefore + rows }
    this.trimmer.add(stream, sequence, last, payload.length)
    if (comparePositions(frame, this.released) <= 0) return
    this.recoveredRows += rows
    this.queue.push(frame)
  }

  /** Frames up to this one were complete once: those that were not read are lost. */
  private pass (stream: LaneStream, reach: Reach): void {
    const end = this.endOf(stream)
    const { sequence, rows } = reach.sequence < end.sequence ? reach : end
    if (sequence <= this.last.sequence) return
    this.noteGap(stream, sequence, rows)
    this.last = { sequence, rows }
  }

  /** Frames up to `through` should have been seen. Those that the ledger covers were trimmed. */
  private noteGap (stream: LaneStream, through: number, rowsThrough: number): void {
    const { epoch, sequence } = this.released
    const seen = Math.max(this.last.sequence, epoch === stream.epoch ? sequence : 0)
    if (through <= seen || epoch > stream.epoch) return
    const isCounted = this.last.sequence === seen
    const rows = rowsThrough - this.last.rows
    this.settings.onFault(`lane ${this.spoolId}: frames ${seen + 1} to ${through} of epoch ${stream.epoch} are no ` +
      `longer in the log${isCounted ? `, ${rows} points` : ''}: it was purged, deleted or damaged, or has lost them`)
  }

  private endOf ({ epoch }: LaneStream): Reach {
    return this.ends.get(epoch) ?? { sequence: Number.POSITIVE_INFINITY, rows: 0 }
  }

  private next (): void {
    this.streams = this.streams.slice(1)
    this.from = 1
    this.last = { sequence: 0, rows: 0 }
  }

  /** A writer that has begun the next epoch is through with this one. */
  private isQuiet (): boolean {
    if (this.streams.length > 1) return true
    return this.timing.nowMs() - this.grewAtMs >= (this.settings.quietMs ?? QUIET_MS)
  }

  /** Refused if the writer has appended meanwhile: then there is more to read. */
  private async seal (stream: LaneStream): Promise<void> {
    const { log } = this.settings
    const position = await log.last(stream)
    // The seal names the last frame before it: all messages up to its own position must have been read.
    const rest = await readFrames(log, stream, this.from, READ_BYTES)
    if (rest.frames.length > 0 || rest.seal !== null) return
    const first = (await log.next(stream, this.from))?.position ?? position + 1
    if (first > this.from) this.notePurged(stream, this.from, first - 1)
    else if (rest.seen <= position) this.notePurged(stream, rest.seen, position)
    // What is in the database was seen, even if the log has lost it since: its writer must not send it again.
    const { epoch, sequence } = this.released
    const last = epoch === stream.epoch ? Math.max(this.last.sequence, sequence) : this.last.sequence
    await log.append(stream, position + 1, encodeSeal(last, this.last.rows))
  }

  /** Nobody knows what was in them: only the log did, and the writer that is gone. */
  private noteDeleted (seen: Position): void {
    this.isGone = false
    const { epoch, sequence } = later(seen, this.released)
    const known = sequence === 0 ? 'nothing was read of it' : `it was read up to frame ${sequence} of epoch ${epoch}`
    this.settings.onFault(`lane ${this.spoolId}: its stream is no longer in the log: it was deleted; ${known}, and ` +
      'what followed is lost')
  }

  private notePurged (stream: LaneStream, from: number, through: number): void {
    this.settings.onFault(`lane ${this.spoolId}: messages ${from} to ${through} of epoch ${stream.epoch} are no ` +
      'longer in the log: it was purged; those that were not stored yet are lost')
  }
}

/** Finds the streams of a lane. */
export async function openLostLane (log: ReplicatedLog, options: LostLaneOptions): Promise<LostLane> {
  const { lane } = options
  const found = [...await log.list(lane)]
  found.sort((left, right) => left.epoch - right.epoch)
  let committed: Position = POSITION_START
  for (const { epoch } of found) {
    const position = await log.last({ lane, epoch })
    const message = position === 0 ? null : await log.next({ lane, epoch }, position)
    const header = message === null ? null : decodeHeader(message.bytes)
    if (header !== null && header.committed > 0) committed = { epoch, sequence: header.committed }
  }
  return new LostLane(options, found, committed)
}
