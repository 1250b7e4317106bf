/**
 * Parses HTTP/1.1 responses (RFC 9112) as far as a sender needs: the status, Retry-After, whether the connection stays
 * open, and where the response ends. Bytes arrive in chunks of any size; a connection has one response at a time, since
 * requests are not pipelined.
 */

/** Head and body together; no OrbitStream server sends more. */
const ANSWER_BYTES_MAX = 64 * 1024
const HEAD_END = Buffer.from('\r\n\r\n')
const STATUS_LINE = /^HTTP\/1\.[01] (\d{3})/
/** Size of a chunk, and any extensions after it. */
const CHUNK_HEAD = /^([\da-f]+)[^\r\n]*\r\n/i

export interface Answer {
  readonly status: number
  /** Has a Retry-After header. */
  readonly retryAfter: boolean
  /** The server closes the connection after it. */
  readonly close: boolean
  readonly body: string
}

/** The response has not arrived whole; `broken`: not HTTP, or too large. */
export type Unfinished = 'incomplete' | 'broken'

/** Parses the bytes from the start of a response. Skips interim responses (1xx). */
export function readAnswer (bytes: Buffer): Answer | Unfinished {
  const end = bytes.indexOf(HEAD_END)
  if (end < 0) return bytes.length > ANSWER_BYTES_MAX ? 'broken' : 'incomplete'
  const head = bytes.toString('latin1', 0, end)
  const status = Number(STATUS_LINE.exec(head)?.[1] ?? 0)
  if (status === 0) return 'broken'
  const rest = end + HEAD_END.length
  if (status < 200) return readAnswer(bytes.subarray(rest))
  const fields = head.toLowerCase()
  const body = bodyOf(status, fields, bytes, rest)
  if (body === null) return bytes.length > ANSWER_BYTES_MAX ? 'broken' : 'incomplete'
  return { status, retryAfter: fields.includes('\r\nretry-after:'), close: closes(fields), body }
}

/**
 * Parses responses of one server. Most are successes whose head, byte by byte, is that of the one before: comparing it
 * takes far less time than parsing it.
 */
export class AnswerReader {
  /** The last success that had a length, and the bytes of its head. Without its body, which nobody asks for. */
  private success: Answer = { status: 0, retryAfter: false, close: false, body: '' }
  private head = Buffer.alloc(0)
  private answerBytes = NaN

  /** As readAnswer(), except that a success may come without its body. */
  read (bytes: Buffer): Answer | Unfinished {
    const { head } = this
    if (bytes.length === this.answerBytes && bytes.compare(head, 0, head.length, 0, head.length) === 0) {
      return this.success
    }
    const answer = readAnswer(bytes)
    if (typeof answer === 'object' && answer.status < 300) this.remember(bytes, answer)
    return answer
  }

  /** Only where the length of the whole response follows from its head. */
  private remember (bytes: Buffer, answer: Answer): void {
    const bodyStart = bytes.indexOf(HEAD_END) + HEAD_END.length
    const fields = bytes.toString('latin1', 0, bodyStart - HEAD_END.length).toLowerCase()
    const length = field(fields, 'content-length')
    if (length === null || fields.startsWith('http/1.1 1')) return
    this.success = { ...answer, body: '' }
    this.head = Buffer.from(bytes.subarray(0, bodyStart))
    this.answerBytes = bodyStart + Number(length)
  }
}

function closes (fields: string): boolean {
  const connection = field(fields, 'connection')
  return connection === null ? fields.startsWith('http/1.0') : connection.includes('close')
}

/** Null: incomplete. */
function bodyOf (status: number, fields: string, bytes: Buffer, start: number): string | null {
  if (status === 204 || status === 304) return ''
  const length = field(fields, 'content-length')
  if (length !== null) {
    return bytes.length - start >= Number(length) ? bytes.toString('utf8', start, start + Number(length)) : null
  }
  if (field(fields, 'transfer-encoding') === null) return ''
  return bodyOfChunks(bytes.toString('latin1', start))
}

/** @param text the chunks, one character per byte */
function bodyOfChunks (text: string): string | null {
  let body = ''
  for (let rest = text; ;) {
    const head = CHUNK_HEAD.exec(rest)
    if (head === null) return null
    const bytes = parseInt(head[1] ?? '', 16)
    if (bytes === 0) return rest.endsWith('\r\n\r\n') ? Buffer.from(body, 'latin1').toString('utf8') : null
    body += rest.slice(head[0].length, head[0].length + bytes)
    rest = rest.slice(head[0].length + bytes + 2)
  }
}

/** Value of a header; null if absent. @param fields the head in lower case */
function field (fields: string, name: string): string | null {
  const at = fields.indexOf(`\r\n${name}:`)
  if (at < 0) return null
  const start = at + name.length + 3
  const end = fields.indexOf('\r\n', start)
  return fields.slice(start, end < 0 ? undefined : end).trim()
}
