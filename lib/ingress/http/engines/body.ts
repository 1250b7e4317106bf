/**
 * Reading one body: gathers its chunks, holds the bound in bytes, and sees when it stalls. Shared by both engines.
 *
 * A body that arrives in one chunk is handed on as it is, without a copy; the room for bodies of several chunks is used
 * again and again. Either way a body is only valid during onBody. Exactly one of onBody and onFailure is called, unless
 * the reader is dropped first.
 */
import { RoomPool } from '../../../support/buffer-pool.js'
import { NOT_LISTED, Roster, type Listed } from '../../../support/roster.js'
import { BODY_BYTES_PER_SECOND_MIN } from './engine.js'
import type { BodyFailure, HttpRequest } from './engine.js'

/** Sweeps of the watch in one stall time: how finely a stall is seen. */
const TICKS_PER_STALL = 8
/** First room for a body of several chunks; it doubles up to the bound. */
const FIRST_BYTES = 16 * 1024
/** Memory of one worker for bodies that have not arrived in whole. */
const BODIES_BYTES_MAX = 256 * 1024 * 1024
/** Beside that, what is kept for the next bodies. */
const SPARE_BYTES_MAX = 4 * 1024 * 1024

/** Something with a deadline in sweeps. */
export interface Watched extends Listed {
  tick (): void
}

/** All bodies under way in a server: one timer for their stalls, no timer and no clock call per request; and their memory. */
export class BodyWatch {
  private readonly watched = new Roster<Watched>()
  private readonly pool = new RoomPool(SPARE_BYTES_MAX)
  private heldBytes = 0
  private readonly timer: NodeJS.Timeout
  /** Bytes that a body must bring in one stall time. */
  readonly bytesPerStallMin: number

  /** @param heldBytesMax room for all bodies of several chunks together */
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
   * Room of at least so many bytes; null when the bodies under way have it all. A body alone always gets what it asks for.
   * @param ownBytes what the asker has, to be given back once it has moved
   */
  takeRoom (bytesMin: number, ownBytes: number): Buffer | null {
    const bytes = roomFor(bytesMin)
    const othersBytes = this.heldBytes - ownBytes
    if (othersBytes > 0 && othersBytes + bytes > this.heldBytesMax) return null
    this.heldBytes += bytes
    return this.pool.take(bytes)
  }

  /** Takes room back; nobody may hold on to it. */
  giveBack (room: Buffer): void {
    this.heldBytes -= room.length
    this.pool.giveBack(room)
  }

  close (): void {
    clearInterval(this.timer)
  }
}

/** Few sizes, so that room of one body fits another. */
function roomFor (bytes: number): number {
  let room = FIRST_BYTES
  while (room < bytes) room *= 2
  return room
}

/** Counts sweeps. The first one may come right after the start, hence one more than the stall time has. */
export class StallTicks {
  private ticks = 0

  /** True once per stall time. */
  next (): boolean {
    if (++this.ticks <= TICKS_PER_STALL) return false
    this.ticks = 0
    return true
  }
}

/** What the head alone says against the body: too long, or no length at all. */
export function refusedByHead (request: HttpRequest, bytesMax: number): BodyFailure | null {
  const declared = request.header('content-length')
  if (declared === '') return request.header('transfer-encoding') === '' ? 'length_required' : null
  return Number(declared) > bytesMax ? 'body_too_large' : null
}

export class BodyReader implements Watched {
  place = NOT_LISTED
  /** Holds the chunks of a body that has more than one; `length` of it are used. */
  private buffer: Buffer | null = null
  private length = 0
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

  /** Takes the next chunk; it is copied unless it is the whole body. */
  take (chunk: Buffer, last: boolean): void {
    if (!this.open) return
    if (this.length + chunk.length > this.bytesMax) {
      this.fail('body_too_large')
    } else if (last && this.length === 0) {
      this.drop()
      this.onBody(chunk)
    } else if (this.append(chunk)) {
      if (last) this.finish()
    } else {
      this.fail('too_busy')
    }
  }

  /** Sees to the bound for a chunk that is taken later. */
  check (chunk: Buffer): void {
    if (this.length + chunk.length > this.bytesMax) this.fail('body_too_large')
  }

  fail (failure: BodyFailure): void {
    if (!this.open) return
    this.drop()
    this.onFailure(failure)
  }

  /** Forgets the body; later chunks are ignored. */
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

  /** False: there is no room for it. */
  private append (chunk: Buffer): boolean {
    const length = this.length + chunk.length
    const buffer = this.buffer !== null && length <= this.buffer.length ? this.buffer : this.grow(length)
    if (buffer === null) return false
    buffer.set(chunk, this.length)
    this.length = length
    return true
  }

  /** Twice the room, or more; never takes a declared length on trust. Null: there is none. */
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
