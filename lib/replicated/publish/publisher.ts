/**
 * Sends frames to the log, several at a time and in order; each is stored at most once.
 *
 *   waiting ──► under way (WINDOW_FRAMES) ──► stored ──► spooled(null)
 *                  │ any failure ──► synchronise: compare what the stream has with what was sent
 *                  │                   ├ it has some of it ──► those are stored; the rest is sent again, byte for byte
 *                  │                   ├ sealed            ──► the rest is not in it: it goes to a new epoch
 *                  │                   └ all were refused for lack of room ──► spool_full, numbers are used again
 *                  └ no answer for ACK_TIMEOUT_MS ──► log_unanswered; what was never sent: log_unavailable
 *
 * The rules that exactly-once rests on
 * - A message is accepted only right behind its predecessor's position. So a late copy of it can only land where the
 *   original belongs, or nowhere.
 * - A frame counts as stored when each of its messages, and each before them, was answered or was read back and is
 *   ours. An answer to a later message proves nothing about an earlier one: whoever takes over seals the stream behind
 *   the last message that it sees, and then a message under way may land behind the seal, where it is void.
 * - A frame that may be in the stream is never sent under another number. Numbers are used again only if the log has
 *   refused every message that was sent under them, each time that it was sent.
 * - A frame goes to a new epoch only once a seal ends the old one, and only if it is not in front of the seal. This
 *   publisher sets the seal itself if the stream lost messages that were acknowledged (a power cut of several servers),
 *   and then waits until the drain has stored what it still has in memory.
 * - If the stream lost messages, is gone, or has messages of somebody else, nobody can say what it had, and what
 *   another drain has read of it: frames under way are answered with log_unanswered and not sent again. Frames that
 *   were acknowledged are still in this process until they commit.
 * - A new epoch's stream says where the one before ended: at the tail. So nothing that arrives behind it counts, even
 *   if the seal is purged or lost.
 * - A message that was answered, and is not in the stream, is sent again in its place.
 *
 * States
 *
 *   opening ──► sending ⇄ syncing ──► opening
 *      └───────────┴─────────┴──────► stopped
 *
 * - opening: a new epoch; its stream is being created.
 * - sending: messages are under way, or nothing is to be sent.
 * - syncing: something failed; no message is under way.
 * - stopped: nothing is sent any more. Final.
 */
import type { ErrorCode } from '../../support/errors.js'
import { StateMachine } from '../../support/state-machine.js'
import type { ClosedBatch } from '../../journal/journal.js'
import { FRAME_HEADER_BYTES } from '../../spool/format/record.js'
import { compareStream, START, type Comparison, type Mark } from './comparison.js'
import { epochIdOf, faultOf, type LogFault, type Reach } from '../replicated-log.js'
import { encodePart, encodeSeal } from '../message.js'
import type { PublisherHooks, PublisherOptions } from './publisher-hooks.js'
import { markOf, noteStored, numberFrame, storedFrame, type LaneStream, type Pending, type Waiting } from './pending.js'

/** Frames under way at once. With more, latency grows and throughput does not: frames grow instead. */
export const WINDOW_FRAMES = 4
/** Less than senders wait, more than the election of a new leader takes. */
const ACK_TIMEOUT_MS = 9_000
/** Servers that have just been started have no leader at first, and say so. */
const TRIES_BEFORE_FAULT = 3
const RETRY_MS_MIN = 100
const RETRY_MS_MAX = 1_000

type PublisherState = 'opening' | 'sending' | 'syncing' | 'stopped'

const TRANSITIONS: Readonly<Record<PublisherState, readonly PublisherState[]>> = {
  opening: ['sending', 'stopped'],
  sending: ['syncing', 'stopped'],
  syncing: ['sending', 'opening', 'stopped'],
  stopped: []
}

export class Publisher {
  /** Of batches that are not stored yet. */
  waitingBytes = 0
  waitingFrames = 0
  waitingRows = 0
  /** The log has not answered for so long that batches were refused; null: it does. */
  away: string | null = null
  /** How often something failed. */
  syncs = 0
  /** Last sequence ever used, by epoch. */
  readonly sent = new Map<number, number>()
  private readonly state = new StateMachine<PublisherState>('publisher', 'opening', TRANSITIONS)
  private stream: LaneStream
  private waiting: Waiting[] = []
  private pending: Pending[] = []
  /** The last frame that is stored in this epoch, and its last message. */
  private tail: Mark = START
  /** Where the epoch before ended. */
  private after: Reach | null = null
  private readonly sends = new Set<Promise<void>>()
  private failures: LogFault[] = []
  private running: Promise<void>
  private retryMs = RETRY_MS_MIN

  constructor (private readonly options: PublisherOptions, private readonly hooks: PublisherHooks) {
    this.stream = this.streamOf(1)
    this.running = this.open()
  }

  /** A batch appended now is sent at once. */
  get idle (): boolean {
    return this.state.is('sending') && this.waiting.length === 0 && this.pending.length < WINDOW_FRAMES
  }

  /** Nothing is left to send or to be answered. */
  get empty (): boolean {
    return this.waitingFrames === 0
  }

  get epoch (): number {
    return this.stream.epoch
  }

  /** Adds a batch. The caller has checked that there is capacity. */
  append (batch: ClosedBatch): void {
    this.waiting.push({ batch, queuedMs: this.options.timing.nowMs(), wasAnswered: false })
    this.count({ batch, wasAnswered: false }, 1)
    this.pump()
  }

  /** Resolves when the epoch's stream exists, or the log does not answer. */
  async opened (): Promise<void> {
    await this.running
  }

  /** Refuses what was not sent; what is under way gets its answer, or outcome_unknown. Once. */
  async stop (code: ErrorCode): Promise<void> {
    const wasSending = this.state.is('sending')
    this.refuseWaiting(code)
    if (wasSending) await Promise.all(this.sends)
    this.state.to('stopped')
    await this.running
    await Promise.all(this.sends)
    this.answerPending('outcome_unknown')
    for (const frame of this.pending.splice(0)) this.count(frame, -1)
  }

  private streamOf (epoch: number): LaneStream {
    const { lane } = this.options
    return { lane, epoch, epochId: epochIdOf({ lane, epoch }) }
  }

  /** Creates the epoch's stream, however long that takes. */
  private async open (): Promise<void> {
    const { stream: { epoch }, after, options: { log, lane, instance, slot } } = this
    let tries = 0
    let told = ''
    while (this.state.is('opening')) {
      try {
        await log.create({ lane, epoch, instance, slot, after })
        if (!this.state.is('opening')) return
        this.state.to('sending')
        this.answers()
      } catch (error) {
        const { message } = error as Error
        tries++
        if (message !== told && (tries >= TRIES_BEFORE_FAULT || faultOf(error) === 'full')) {
          told = message
          this.hooks.fault(`the replicated log does not create a stream; retrying: ${message}`)
        }
        await this.waitToRetry()
      }
    }
    this.pump()
    this.hooks.idle()
  }

  /** The log works. */
  private answers (): void {
    this.retryMs = RETRY_MS_MIN
    if (this.away !== null) {
      this.hooks.fault('the replicated log did not answer for a while, and points were refused; it answers again')
    }
    this.away = null
  }

  private pump (): void {
    while (this.state.is('sending') && this.failures.length === 0 && this.pending.length < WINDOW_FRAMES) {
      const next = this.waiting.shift()
      if (next === undefined) return
      const frame = this.number(next)
      this.pending.push(frame)
      this.send(frame)
    }
  }

  private number (next: Waiting): Pending {
    const { log: { messageBytesMax }, rowFormat, now } = this.options
    const { epoch } = this.stream
    const last = this.pending.at(-1)
    const before = last === undefined ? this.tail : markOf(last)
    const committed = this.hooks.committed(epoch)
    const frame = numberFrame(next, before, { epoch, rowFormat, committed, messageBytesMax, appendedAtMs: now() })
    this.sent.set(epoch, Math.max(frame.sequence, this.sent.get(epoch) ?? 0))
    return frame
  }

  private send (frame: Pending): void {
    for (let part = 0; part < frame.parts; part++) {
      if (frame.stored[part] === true) continue
      const sending = this.sendPart(frame, part)
      this.sends.add(sending)
      void sending.finally(() => { this.sends.delete(sending) })
    }
  }

  /** Never rejects. */
  private async sendPart (frame: Pending, part: number): Promise<void> {
    const { stream, options: { log } } = this
    const startedMs = this.options.timing.nowMs()
    frame.open[part] = (frame.open[part] ?? 0) + 1
    try {
      await log.append(stream, frame.first + part, encodePart(frame, part, frame.messageBytesMax))
      frame.open[part] -= 1
      frame.stored[part] = true
      this.hooks.acknowledged(this.options.timing.nowMs() - startedMs)
      this.settle()
      if (this.failures.length === 0) this.answers()
      this.pump()
    } catch (error) {
      const fault = faultOf(error)
      if (fault !== 'away') frame.open[part] = (frame.open[part] ?? 1) - 1
      this.failed(fault)
    }
  }

  private failed (fault: LogFault): void {
    this.failures.push(fault)
    if (!this.state.is('sending')) return
    this.state.to('syncing')
    this.syncs++
    this.running = this.synchronise()
  }

  /** Frames whose messages are all stored, from the oldest on. */
  private settle (): void {
    for (let frame = this.pending[0]; frame?.stored.every(Boolean) === true; frame = this.pending[0]) {
      this.pending.shift()
      this.tail = markOf(frame)
      const stored = storedFrame(this.stream, frame)
      this.count(frame, -1)
      this.hooks.stored(stored)
      if (!frame.wasAnswered) frame.batch.spooled(null)
      this.hooks.answered(stored)
    }
    if (this.idle) this.hooks.idle()
  }

  /** Until the log has said what it has. */
  private async synchronise (): Promise<void> {
    // Each has an answer or has timed out: none is under way in the client any more.
    while (this.sends.size > 0) await Promise.all(this.sends)
    while (this.state.is('syncing')) {
      if (this.refuseForSpace()) {
        this.resume()
        return
      }
      let found: Comparison
      try {
        found = await compareStream(this.options.log, this.stream, this.tail, this.pending)
        if (found.kind === 'ends') await this.sealLost(found.last)
      } catch (error) {
        if (faultOf(error) === 'missing') {
          await this.lostStream('the stream is gone: was it deleted?')
          return
        }
        await this.waitToRetry()
        continue
      }
      if (!this.state.is('syncing')) return
      await this.act(found)
      return
    }
  }

  /** On what the log has. */
  private async act (found: Comparison): Promise<void> {
    if (found.kind === 'foreign') {
      await this.lostStream(`message ${found.position} is not one that this server sent`)
      return
    }
    for (const [index, frame] of this.pending.entries()) {
      const parts = found.stored.filter((each) => each.frame === index).map(({ part }) => part)
      noteStored(frame, new Set(parts))
    }
    const { tail } = this
    this.settle()
    if (found.kind !== 'fits') {
      if (found.lost) {
        this.abandon(`the log has lost messages that it had, from ${tail.position} or earlier; those that were ` +
          'acknowledged are stored from memory, if they are still there')
      }
      await this.nextEpoch(found.lost)
      return
    }
    if (found.stored.length === 0) await this.waitToRetry()
    if (this.state.is('syncing')) this.resume()
  }

  /** Ends a stream that lost its end, so that nothing under way can land there later. */
  private async sealLost (last: number): Promise<void> {
    const { sequence, rows } = this.tail
    await this.options.log.append(this.stream, last + 1, encodeSeal(sequence, rows))
  }

  private resume (): void {
    this.failures = []
    this.state.to('sending')
    // It was read. Whether it takes messages, their answers show: without a majority of its servers it does not.
    if (this.pending.length === 0) this.answers()
    for (const frame of [...this.pending]) this.send(frame)
    this.pump()
    if (this.idle) this.hooks.idle()
  }

  /** The log refused everything under way, each time that it was sent: none of it is stored, nor ever will be. */
  private refuseForSpace (): boolean {
    if (!this.failures.includes('full')) return false
    const isCertain = this.pending.every(({ open, stored }) => !open.some(Boolean) && !stored.includes(true))
    this.failures = this.failures.filter((fault) => fault !== 'full')
    this.hooks.full()
    if (!isCertain) return false
    this.answerPending('spool_full')
    for (const frame of this.pending.splice(0)) this.count(frame, -1)
    this.refuseWaiting('spool_full')
    return true
  }

  /**
   * What was under way goes to a new epoch.
   * @param isLost frames that were acknowledged are no longer in the log. Nothing may be in a later epoch before they
   *   are committed from memory: another drain would take it for what follows them, and the ledger would pass them
   */
  private async nextEpoch (isLost: boolean): Promise<void> {
    if (isLost) {
      while (this.state.is('syncing') && !this.hooks.isDrained()) await this.waitToRetry()
    }
    if (!this.state.is('syncing')) return
    this.waiting.unshift(...this.pending.splice(0))
    this.stream = this.streamOf(this.stream.epoch + 1)
    this.failures = []
    this.after = { sequence: this.tail.sequence, rows: this.tail.rows }
    this.tail = START
    this.state.to('opening')
    await this.open()
  }

  private async lostStream (why: string): Promise<void> {
    this.abandon(why)
    await this.nextEpoch(true)
  }

  /**
   * Nobody can say any more what was stored of what is under way: the stream may have had it, and another drain may
   * have read it.
   */
  private abandon (why: string): void {
    const { lane, epoch } = this.stream
    this.hooks.fault(`lane ${lane}, epoch ${epoch}: ${why}`)
    this.answerPending('log_unanswered')
    for (const frame of this.pending.splice(0)) this.count(frame, -1)
  }

  /** To be called every half second: gives up waiting for the log after ACK_TIMEOUT_MS. */
  checkTimeout (): void {
    const oldest = this.pending[0] ?? this.waiting[0]
    if (oldest === undefined || this.options.timing.nowMs() - oldest.queuedMs < ACK_TIMEOUT_MS) return
    this.away ??= 'the replicated log does not answer'
    this.answerPending('log_unanswered')
    this.refuseWaiting('log_unavailable')
  }

  private async waitToRetry (): Promise<void> {
    await this.options.timing.pause(this.retryMs)
    this.retryMs = Math.min(this.retryMs * 2, RETRY_MS_MAX)
  }

  private answerPending (code: ErrorCode): void {
    for (const frame of this.pending.filter(({ wasAnswered }) => !wasAnswered)) {
      this.waitingRows -= frame.rows
      frame.wasAnswered = true
      frame.batch.spooled(code)
    }
  }

  private refuseWaiting (code: ErrorCode): void {
    for (const each of this.waiting.splice(0)) {
      this.count(each, -1)
      if (!each.wasAnswered) each.batch.spooled(code)
    }
  }

  /** Points of a batch that was told that the outcome is unknown count as failed, not as waiting. */
  private count ({ batch, wasAnswered }: Pick<Waiting, 'batch' | 'wasAnswered'>, sign: 1 | -1): void {
    this.waitingFrames += sign
    if (!wasAnswered) this.waitingRows += sign * batch.rows
    this.waitingBytes += sign * (batch.payload.length + FRAME_HEADER_BYTES)
  }
}
