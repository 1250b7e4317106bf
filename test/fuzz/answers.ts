/** Splits what came back over a raw connection into answers. */

export interface Answer {
  readonly status: number
  readonly body: string
  /** Whether the answer has a content type, as all of ours do. */
  readonly isTyped: boolean
}

const HEAD = /HTTP\/1\.1 (\d{3}) [^\r\n]*\r\n((?:[^\r\n]+\r\n)*)\r\n/y
/** What uWebSockets.js itself answers to heads that it cannot parse: text up to the end of the connection. */
const PARSER_STATUSES: ReadonlySet<number> = new Set([400, 431, 505])

/** @param text latin1 @returns null: something in it is not an HTTP answer */
export function answersOf (text: string): Answer[] | null {
  const answers: Answer[] = []
  for (let at = 0; at < text.length;) {
    HEAD.lastIndex = at
    const head = HEAD.exec(text)
    if (head === null) return null
    const [all, status = '', headers = ''] = head
    const length = /^content-length: (\d+)\r$/im.exec(headers)?.[1]
    const begin = at + all.length
    // Without a length: 1xx has no body, anything else extends to the end.
    const end = length !== undefined ? begin + Number(length) : status.startsWith('1') ? begin : text.length
    answers.push({ status: Number(status), body: text.slice(begin, end), isTyped: /^content-type:/im.test(headers) })
    at = end
  }
  return answers
}

/**
 * What is wrong with an answer, or null.
 * @param parserSpeaks whether the engine's parser may refuse in its own words, with 505 too (docs/HTTP.md)
 */
export function answerFault ({ status, body, isTyped }: Answer, parserSpeaks: boolean): string | null {
  if (parserSpeaks && !isTyped && PARSER_STATUSES.has(status)) return null
  if (status >= 500 && status !== 503) return `an answer with ${status}`
  // In msgpack if requested; it only has to be told apart from the parser's.
  const isOurs = /^(?:\{"error":\{"code":"[a-z_]+","message":|[^ -~].{0,3}error[^ -~].{0,3}code)/.test(body)
  return status >= 400 && !isOurs ? 'an error in another style' : null
}
