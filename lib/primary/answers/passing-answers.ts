/**
 * Answers on their way to the workers. Their texts stay in this process until the channels take them, however slow a
 * worker is at reading, so they are bounded: each one, and all large ones together.
 */
import type { StatusAnswer } from '../../ingress/http/api/status-port.js'
import { errorAnswer } from '../../ingress/http/engines/answers.js'

/** Series of many metrics as NDJSON, which repeats their names, may have more; others have a few megabytes. */
export const ANSWER_BYTES_MAX = 32 * 1024 * 1024
/** To all workers. */
export const PASSING_BYTES_MAX = 64 * 1024 * 1024
/** Small ones are always passed on: workers bound their number. */
const SMALL_BYTES = 64 * 1024
const MEGABYTE = 1024 * 1024

const TOO_LARGE = errorAnswer('invalid_query', {
  message: `The answer would have more than ${ANSWER_BYTES_MAX / MEGABYTE} MB: ask for fewer points or metrics.`
})
const TOO_MANY = errorAnswer('answers_unread', {
  message: 'Too many large answers are on their way to the workers; retry later, or ask for less.'
})

export class PassingAnswers {
  /** Under way now. */
  bytes = 0
  /** Large answers that were not passed on, for want of room. */
  refused = 0

  /**
   * Passes an answer on, or an error in its place.
   * @param send calls back once the answer has left; false: it will not, as there is nobody to send it to
   */
  pass (answer: StatusAnswer, send: (answer: StatusAnswer, onSent: () => void) => boolean): void {
    const bytes = Buffer.byteLength(answer.body)
    if (bytes <= SMALL_BYTES) {
      send(answer, () => {})
    } else if (bytes > ANSWER_BYTES_MAX) {
      send(TOO_LARGE, () => {})
    } else if (this.bytes + bytes > PASSING_BYTES_MAX) {
      this.refused++
      send(TOO_MANY, () => {})
    } else {
      this.bytes += bytes
      const isSent = send(answer, () => { this.bytes -= bytes })
      if (!isSent) this.bytes -= bytes
    }
  }
}
