/**
 * Reads bodies: gathers the chunks of each, enforces its maximum size, and detects stalls. Shared by both engines.
 *
 * A body in one chunk is passed on without a copy; buffers for bodies in several chunks are reused. Either way a body
 * is valid only during onBody. Exactly one of onBody and onFailure is called, unless the reader is dropped first.
 *
 * Large bodies are passed on one per turn of the event loop: several complete at once would hold up small ones.
 */
import { BufferPool } from '../../../support/buffer-pool.js'
import { OncePerTurn } from '../../../support/once-per-turn.js'
import { NOT_LISTED, Roster, type Listed } from '../../../support/roster.js'
import { Turns } from '../../../support/turns.js'
import { BODY_BYTES_PER_SECOND_MIN } from './engine.js'
import type { BodyFailure, HttpRequest } from './engine.js'

/**
 * Checks per stall timeout. Many, because bodies that fail between two checks fail in one turn of the event loop: an
 * attacker who keeps 5,000 slow bodies open loses 600 a second.
 */
export const TICKS_PER_STALL = 64
/** First buffer of a body in several chunks; it doubles up to the maximum. Small: slow clients have one each. */
const FIRST_BYTES = 1024
/** Memory of one worker for incomplete bodies. */
const BODIES_BYTES_MAX = 256 * 1024 * 1024
/** An eighth of it is for bodies up to this size: otherwise a few large, slow ones would keep out all others. */
const SMALL_BODY_BYTES = 64 * 1024
const SMALL_BODIES_SHARE = 1 / 8
/**
 * Kept for later bodies, in addition: a buffer of each size up to 8 MB. Fresh memory costs more time than all else that
 * a large body does: the system clears its pages.
 */
const SPARE_BYTES_MAX = 16 * 1024 * 1024
/** Larger bodies are passed on in turn: decoding one may take tens of milliseconds. */
export const LARGE_BODY_BYTES = 256 * 1024
/**
 * Small chunks of a body. Each takes some microseconds, even if it is a single byte, which would add up to seconds. Two
 * for each line of a body with the maximum of points.
 */
export const CHUNKS_MAX = 20_000
/** Chunks of this size are not small: a slow link may deliver a body in segments of 536 bytes. */
export const CHUNK_BYTES = 512
/** This many may be tiny. A chunk for each line and another for its end have far more bytes on average. */
export const TINY_CHUNKS_MAX = 4_000
export const TINY_CHUNK_BYTES = 16
/** What a chunk that is discarded counts for, besides its bytes. */
export const CHUNK_OVERHEAD_BYTES = 64

/** Anything with a deadline counted in ticks. */
export interface Watched extends Listed {
  tick (): void
}

/**
 * All incomplete bodies of a server, with their memory. A single timer detects stalls: no timer and no clock call per
 * request.
 */
export class BodyWatch {
  private readonly watched = new Roster<Watched>()
  private readonly pool = new BufferPool(SPARE_BYTES_MAX)
  private readonly turns = new Turns()
  private heldBytes = 0
  private readonly timer: NodeJS.Timeout
  /** Bytes of a body that must arrive within a stall timeout. */
  readonly bytesPerStallMin: number

  /** @param heldBytesMax memory for all bodies in several chunks together */
  constructor (stallMs: number, private readonly heldBytesMax = BODIES_BYTES_MAX) {
    this.bytesPerStallMin = stallMs * BODY_BYTES_PER_SECOND_MIN / 1000
    this.timer = setInterval(() => {
      for (const each of this.watched.all()) each.tick()
    }, Math.ceil(stallMs / TICKS_PER_STALL)).unref()
  }

  add (each: Watched): void {
    this.watched.add(each)
  }

  delete (each: Watched): void {
    this.watched.delete(each)
  }

  /**
   * A buffer of at least `bytesMin` bytes; null if other bodies use all the memory. A single body always gets one.
   * @param ownBytes size of the caller's present buffer, which it gives back after moving
   */
  takeRoom (bytesMin: number, ownBytes: number): Buffer | null {
    const bytes = roomFor(bytesMin)
    const othersBytes = this.heldBytes - ownBytes
    const bytesMax = this.heldBytesMax * (bytes > SMALL_BODY_BYTES ? 1 - SMALL_BODIES_SHARE : 1)
    if (othersBytes > 0 && othersBytes + bytes > bytesMax) return null
    this.heldBytes += bytes
    return this.pool.take(bytes)
  }

  /** Takes back a buffer. Holding it past this point reads reused memory. */
  giveBack (room: Buffer): void {
    this.heldBytes -= room.length
    this.pool.giveBack(room)
  }

  /** Runs it in a turn of the event loop of its own. */
  inTurn (passOn: () => void): void {
    this.turns.add(passOn)
  }

  close (): void {
    clearInterval(this.timer)
  }
}

/** Rounds up to one of few sizes, so that a buffer of one body fits another. */
function roomFor (bytes: number): number {
  let room = FIRST_BYTES
  while (room < bytes) room *= 2
  return room
}

/** Counts ticks. The first may come right after the start, hence one more than fit into the timeout. */
export class StallTicks {
  private ticks = 0

  /** True once per stall timeout. */
  next (): boolean {
    if (++this.ticks <= TICKS_PER_STALL) return false
    this.ticks = 0
    return true
  }
}

/** Why the head alone rules out the body: too long, or no length at all. */
export function refusedByHead (request: HttpRequest, bytesMax: number): BodyFailure | null {
  const declared = request.header('content-length')
  if (declared === '') return request.header('transfer-encoding') === '' ? 'length_required' : null
  return Number(declared) > bytesMax ? 'body_too_large' : null
}

/** Chunks that a body of as many bytes may have. */
function chunksMax (bytes: number): number {
  return Math.min(TINY_CHUNKS_MAX + bytes / TINY_CHUNK_BYTES, CHUNKS_MAX + bytes / CHUNK_BYTES)
}

export const NO_BYTES = Buffer.alloc(0)

export class BodyReader implements Watched {
  place = NOT_LISTED
  /** For EngineServer.passOn(). */
  last: Buffer = NO_BYTES
  /** Chunks of a body that has several, `length` bytes of it. */
  private buffer: Buffer | null = null
  private length = 0
  private chunks = 0
  private lengthAtStart = 0
  private readonly ticks = new StallTicks()
  private open = true

  constructor (
    private readonly watch: BodyWatch,
    private readonly bytesMax: number,
    private readonly onBody: (body: Buffer) => void,
    private readonly onFailure: (failure: BodyFailure) => void
  ) {
    watch.add(this)
  }

  /** Adds a chunk, which is copied unless it is the whole body. */
  take (chunk: Buffer, last: boolean): void {
    if (!this.open) return
    if (this.length + chunk.length > this.bytesMax) {
      this.fail('body_too_large')
    } else if (++this.chunks > chunksMax(this.length)) {
      this.fail('too_many_chunks')
    } else if (last && this.length === 0) {
      this.drop()
      this.onBody(chunk)
    } else if (this.append(chunk)) {
      if (last) this.finish()
    } else {
      this.fail('too_busy')
    }
  }

  /** Enforces the maximum size for a chunk that is added later. */
  check (chunk: Buffer): void {
    if (this.length + chunk.length > this.bytesMax) this.fail('body_too_large')
  }

  fail (failure: BodyFailure): void {
    if (!this.open) return
    this.drop()
    this.onFailure(failure)
  }

  /** Discards the body; later chunks are ignored. */
  drop (): void {
    this.open = false
    if (this.buffer !== null) this.watch.giveBack(this.buffer)
    this.buffer = null
    this.watch.delete(this)
  }

  tick (): void {
    if (!this.ticks.next()) return
    if (this.length - this.lengthAtStart < this.watch.bytesPerStallMin) this.fail('request_timeout')
    this.lengthAtStart = this.length
  }

  private finish (): void {
    if (this.length <= LARGE_BODY_BYTES) {
      this.passOn()
      return
    }
    this.watch.delete(this)
    this.watch.inTurn(() => this.passOn())
  }

  /** Has no effect if it was dropped while it waited for its turn. */
  private passOn (): void {
    const room = this.buffer
    if (room === null) return
    this.buffer = null
    this.drop()
    try {
      this.onBody(room.subarray(0, this.length))
    } finally {
      this.watch.giveBack(room)
    }
  }

  /** False: out of memory for bodies. */
  private append (chunk: Buffer): boolean {
    const length = this.length + chunk.length
    const buffer = this.buffer !== null && length <= this.buffer.length ? this.buffer : this.grow(length)
    if (buffer === null) return false
    buffer.set(chunk, this.length)
    this.length = length
    return true
  }

  /** Moves to a buffer at least twice as large; never trusts a declared length. Null: out of memory for bodies. */
  private grow (bytesMin: number): Buffer | null {
    const larger = this.watch.takeRoom(bytesMin, this.buffer?.length ?? 0)
    if (larger === null) return null
    if (this.buffer !== null) {
      this.buffer.copy(larger, 0, 0, this.length)
      this.watch.giveBack(this.buffer)
    }
    this.buffer = larger
    return larger
  }
}

/** An answer held back until all chunks of its request have arrived. */
export class HeldAnswer implements Watched {
  place = NOT_LISTED
  private readonly ticks = new StallTicks()

  /** @param onStalled called if the chunks take too long */
  constructor (readonly send: () => void, private readonly onStalled: () => void) {}

  tick (): void {
    if (this.ticks.next()) this.onStalled()
  }
}

/** Text as UTF-8; a buffer is not copied. */
export function bytesOf (body: string | Buffer): Buffer {
  return typeof body === 'string' ? Buffer.from(body) : body
}

const largeTexts = new OncePerTurn(bytesOf)

/** The same, for large texts that many may get at the same time. */
export function sharedBytesOf (body: string | Buffer): Buffer {
  return typeof body === 'string' ? largeTexts.of(body) : body
}
