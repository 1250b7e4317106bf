/**
 * The log: pino, built once per process and passed in.
 *
 * JSON lines by default, human-readable lines on a terminal. Both are written synchronously, so that nothing before a
 * crash or exit is lost. Passwords and tokens are redacted: known fields by name, passwords in database URLs anywhere
 * in a line.
 */
import { pino } from 'pino'
import type { DestinationStream, Level, Logger } from 'pino'
import { prettyFactory } from 'pino-pretty'

export type Log = Logger

export interface LogOptions {
  readonly level: Level
  /** Human-readable lines; default: if standard output is a terminal. */
  readonly pretty?: boolean
  /** The program or process that logs. */
  readonly name: string
  /** Where lines go; default: standard output. */
  readonly destination?: DestinationStream
}

const SECRET_FIELDS = ['password', 'authorization', 'token', 'apiTokens', 'secret']
const URL_PASSWORD = /(postgres(?:ql)?:\/\/[^\s:@/"]*:)[^\s@"]*@/g
const QUERY_PASSWORD = /([?&](?:ssl)?password=)[^\s&"]*/g

/** A destination that converts pino's JSON lines to human-readable ones, without a thread or queue. */
function prettyDestination (destination: DestinationStream, colorize: boolean): DestinationStream {
  const prettify = prettyFactory({
    colorize,
    ignore: 'pid',
    translateTime: 'SYS:HH:MM:ss.l'
  }) as (line: string) => string
  return { write: line => destination.write(prettify(line)) }
}

/** The log of one process. */
export function createLogger (options: LogOptions): Log {
  const terminal = process.stdout.isTTY
  const plain = options.destination ?? pino.destination({ dest: 1, sync: true })
  const destination = options.pretty ?? terminal ? prettyDestination(plain, terminal) : plain
  return pino({
    name: options.name,
    level: options.level,
    base: { pid: process.pid },
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { level: label => ({ level: label }) },
    redact: { paths: SECRET_FIELDS.flatMap(field => [field, `*.${field}`]), censor: '***' },
    hooks: { streamWrite: line => line.replace(URL_PASSWORD, '$1***@').replace(QUERY_PASSWORD, '$1***') }
  }, destination)
}

/** Logs a warning, or counts it if the same one was logged recently. */
export type RateLimitedWarning = (fields: object, message: string) => void

/** Distinct messages remembered; the oldest is evicted. */
const MESSAGES_MAX = 100

/**
 * For warnings that may occur thousands of times a second: each message is logged once per interval, with the number of
 * suppressed repetitions in `suppressed`.
 *
 * @param now milliseconds of a monotonic clock
 */
export function rateLimited (
  log: Log,
  intervalMs: number,
  now: () => number = () => performance.now()
): RateLimitedWarning {
  const said = new Map<string, { atMs: number, suppressed: number }>()
  return (fields, message) => {
    const last = said.get(message)
    if (last !== undefined && now() - last.atMs < intervalMs) {
      last.suppressed++
      return
    }
    log.warn(last === undefined || last.suppressed === 0 ? fields : { ...fields, suppressed: last.suppressed }, message)
    said.delete(message)
    said.set(message, { atMs: now(), suppressed: 0 })
    const [oldest] = said.keys()
    if (said.size > MESSAGES_MAX && oldest !== undefined) said.delete(oldest)
  }
}
