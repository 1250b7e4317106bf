/** The log: format, secrets, nothing lost in a crash, rate-limited warnings. */
import t from 'tap'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createLogger, rateLimited } from '../../../lib/support/log.js'
import type { Log, LogOptions } from '../../../lib/support/log.js'

interface Line extends Record<string, unknown> { readonly level: string, readonly msg: string }

function memory (): { lines: string[], destination: { write (line: string): void } } {
  const lines: string[] = []
  return { lines, destination: { write: line => lines.push(line) } }
}

function logged (options: Partial<LogOptions>, use: (log: Log) => void): Line[] {
  const { lines, destination } = memory()
  use(createLogger({ level: 'info', name: 'test', pretty: false, destination, ...options }))
  return lines.map(line => JSON.parse(line) as Line)
}

t.test('JSON lines with level, time, name and process', t => {
  const [line, ...more] = logged({}, log => {
    log.debug('not said')
    log.warn({ rows: 5 }, 'batch refused')
  })
  t.match(line, { level: 'warn', name: 'test', pid: process.pid, rows: 5, msg: 'batch refused' })
  t.match(line?.time, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/)
  t.same(more, [])
  t.end()
})

t.test('human-readable lines', t => {
  const { lines, destination } = memory()
  createLogger({ level: 'debug', name: 'test', pretty: true, destination }).debug({ rows: 5 }, 'batch closed')
  // eslint-disable-next-line no-control-regex
  t.match(lines.join('').replace(/\u001b\[\d+m/g, ''), /DEBUG \(test\): batch closed\n {4}rows: 5\n/)
  t.end()
})

t.test('secrets are redacted', t => {
  const secret = 'hunter2'
  const [line] = logged({}, log => log.info({
    password: secret,
    headers: { authorization: `Bearer ${secret}` },
    config: { apiTokens: [secret], databaseUrl: `postgres://me:${secret}@h/d?sslpassword=${secret}&x=1` },
    err: new Error(`cannot reach postgresql://:${secret}@h/d`)
  }, `connecting to postgres://me:${secret}@h/d`))
  t.match(line, {
    config: { databaseUrl: 'postgres://me:***@h/d?sslpassword=***&x=1' },
    msg: 'connecting to postgres://me:***@h/d'
  })
  t.notMatch(JSON.stringify(line), secret)
  t.end()
})

for (const pretty of [false, true]) {
  t.test(`a killed process has written all its lines (${pretty ? 'for people' : 'JSON'})`, async t => {
    const module = new URL('../../../lib/support/log.js', import.meta.url).href
    const script = `
      const { createLogger } = await import(${JSON.stringify(module)})
      const log = createLogger({ level: 'info', name: 'test', pretty: ${pretty} })
      for (let i = 0; i < 500; i++) log.info('line ' + i)
      process.kill(process.pid, 'SIGKILL')`
    const child = spawn(process.execPath, ['--input-type=module', '-e', script], {
      stdio: ['ignore', 'pipe', 'inherit']
    })
    let text = ''
    child.stdout.on('data', (chunk: Buffer) => { text += chunk.toString() })
    const [, signal] = await once(child, 'close') as [number | null, string]
    t.equal(signal, 'SIGKILL')
    t.equal(text.match(/line \d+/g)?.length, 500)
    t.equal(text.startsWith('{'), !pretty)
  })
}

t.test('a frequent warning is logged once per interval, with the number of suppressed ones', t => {
  let nowMs = 0
  const lines = logged({}, log => {
    const warn = rateLimited(log, 1000, () => nowMs)
    const say = (atMs: number, message = 'slow', fields: object = {}): void => {
      nowMs = atMs
      warn(fields, message)
    }
    say(0, 'slow', { n: 1 })
    say(1)
    say(999)
    say(999, 'other')
    say(1000, 'slow', { n: 2 })
    say(2000, 'slow', { n: 3 })
  })
  t.match(lines, [
    { level: 'warn', msg: 'slow', n: 1 }, { msg: 'other' }, { msg: 'slow', n: 2, suppressed: 2 }, { msg: 'slow', n: 3 }
  ])
  t.equal(lines.length, 4)
  t.notOk('suppressed' in (lines[3] ?? {}), 'the count restarts')
  t.end()
})

t.test('an endless stream of distinct messages does not fill memory', t => {
  const lines = logged({}, log => {
    const warn = rateLimited(log, 1000, () => 0)
    for (let i = 0; i < 101; i++) warn({}, `message ${i}`)
    warn({}, 'message 100')
    warn({}, 'message 0')
  })
  t.equal(lines.length, 102, 'the newest is remembered, the oldest of 101 evicted')
  t.equal(lines.at(-1)?.msg, 'message 0')
  t.end()
})

t.test('a custom clock', t => {
  const lines = logged({}, log => {
    const warn = rateLimited(log, 60_000)
    warn({}, 'x')
    warn({}, 'x')
  })
  t.equal(lines.length, 1)
  t.end()
})
