/** Splits a stream of Server-Sent Events (WHATWG HTML, 9.2.6) into events. */

export interface ServerEvent {
  /** 'message' unless the stream says otherwise. */
  readonly event: string
  readonly data: string
  /** The last id that the stream gave; '' for none. */
  readonly id: string
}

/** Longest event, in characters. A stream that exceeds it is not ours. */
const EVENT_CHARS_MAX = 4 * 1024 * 1024

export class EventParser {
  private rest = ''
  private event = ''
  private data: string[] = []
  private dataChars = 0
  private id = ''

  /** The events that `text` completes. Throws a RangeError for one that is too long. */
  add (text: string): ServerEvent[] {
    const events: ServerEvent[] = []
    this.rest += text
    let from = 0
    for (;;) {
      const [end, next] = this.lineEnd(from)
      if (end < 0) break
      const complete = this.line(this.rest.slice(from, end))
      if (complete !== null) events.push(complete)
      from = next
    }
    this.rest = this.rest.slice(from)
    if (this.rest.length + this.dataChars > EVENT_CHARS_MAX) throw new RangeError('an event is too long')
    return events
  }

  /** Lines end with LF, CR LF or CR. A CR at the end of what has come may be the first half of CR LF. */
  private lineEnd (from: number): readonly [end: number, next: number] {
    const { rest } = this
    const feed = rest.indexOf('\n', from)
    const carriage = rest.indexOf('\r', from)
    if (carriage >= 0 && (feed < 0 || carriage < feed)) {
      if (carriage + 1 === rest.length) return [-1, from]
      return [carriage, rest[carriage + 1] === '\n' ? carriage + 2 : carriage + 1]
    }
    return [feed, feed + 1]
  }

  private line (line: string): ServerEvent | null {
    if (line === '') return this.dispatch()
    const colon = line.indexOf(':')
    const field = colon < 0 ? line : line.slice(0, colon)
    const value = colon < 0 ? '' : line.slice(line[colon + 1] === ' ' ? colon + 2 : colon + 1)
    if (field === 'event') this.event = value
    else if (field === 'id') this.id = value
    else if (field === 'data') {
      this.data.push(value)
      this.dataChars += value.length
    }
    return null
  }

  private dispatch (): ServerEvent | null {
    const { event, data, id } = this
    this.event = ''
    this.data = []
    this.dataChars = 0
    return data.length === 0 ? null : { event: event === '' ? 'message' : event, data: data.join('\n'), id }
  }
}
