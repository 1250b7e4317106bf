/** The last numbers of senders on disk: written, read, damaged, and not written over by a worker that was replaced. */
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { mock } from 'node:test'
import t from 'tap'
import type { RingMarks } from '../../../lib/ingress/udp/key-ring.js'
import { eventually } from '../../support/eventually.js'
import { readSenderMarks, SenderMarksFile } from '../../../lib/worker/sender-marks.js'

const marksOf = (highest: number): RingMarks => [['key', { floor: -1, marks: [['s', { epoch: 7, highest }]] }]]

class Source {
  authenticated = 0
  marks = (): RingMarks => marksOf(this.authenticated)
  counters = (): { authenticated: number } => ({ authenticated: this.authenticated })
}

function logOf (): { warnings: unknown[], warn: (...words: readonly unknown[]) => void } {
  const warnings: unknown[] = []
  return { warnings, warn: (...words) => { warnings.push(words) } }
}

t.test('what one worker writes, the next one reads, from the files of all ports', async (t) => {
  const directory = t.testdir({ 'udp-senders-x.json': '[]', 'instance-id': 'x' })
  const log = logOf()
  t.strictSame(await readSenderMarks(directory, log), [])
  t.strictSame(await readSenderMarks(join(directory, 'none'), log), [])
  for (const port of [8081, 8082]) {
    const source = new Source()
    const file = new SenderMarksFile(directory, port, source, log)
    source.authenticated = port
    await file.close()
    await file.close()
  }
  t.strictSame((await readSenderMarks(directory, log)).toSorted(), [...marksOf(8081), ...marksOf(8082)])
  t.strictSame(log.warnings, [])
})

t.test('nothing new, or a worker that was replaced: nothing is written', async (t) => {
  const directory = t.testdir()
  const source = new Source()
  await new SenderMarksFile(directory, 1, source, logOf()).close()
  t.strictSame(readdirSync(directory), [])
  const file = new SenderMarksFile(directory, 1, source, logOf())
  source.authenticated = 1
  await file.stop()
  await file.close()
  t.strictSame(readdirSync(directory), [])
})

t.test('numbers that were taken over are written, even if no packet follows', async (t) => {
  const directory = t.testdir()
  const file = new SenderMarksFile(directory, 1, new Source(), logOf())
  file.changed()
  await file.close()
  t.strictSame(await readSenderMarks(directory, logOf()), marksOf(0))
})

t.test('on a slow disk writes do not queue up, and the last one has everything', async (t) => {
  mock.timers.enable({ apis: ['setInterval'] })
  t.teardown(() => mock.timers.reset())
  const source = new Source()
  // Packets arrive all the time.
  source.counters = () => ({ authenticated: ++source.authenticated })
  const written: string[] = []
  let finish = (): void => {}
  const slow = new Promise<void>((resolve) => { finish = resolve })
  const file = new SenderMarksFile(t.testdir(), 1, source, logOf(), 1, async (_path, text) => {
    written.push(text)
    if (written.length === 1) await slow
  })
  for (let tick = 0; tick < 10; tick++) mock.timers.tick(1)
  const closing = file.close()
  finish()
  await closing
  t.strictSame(written.map((text) => JSON.parse(text) as RingMarks), [marksOf(1), marksOf(2)])
})

t.test('again and again while packets arrive', async (t) => {
  const directory = t.testdir()
  const source = new Source()
  const path = join(directory, 'udp-senders-1.json')
  const file = new SenderMarksFile(directory, 1, source, logOf(), 1)
  for (source.authenticated = 1; source.authenticated < 4; source.authenticated++) {
    await eventually('the file is written', 10_000, async () => {
      await new Promise((resolve) => setImmediate(resolve))
      const isThere = existsSync(path) && readFileSync(path, 'utf8').includes(`"highest":${source.authenticated}`)
      return isThere ? true : undefined
    })
  }
  await file.stop()
})

t.test('a damaged file is ignored with a warning; one that cannot be written, too', async (t) => {
  const halfMark = '[["k",{"floor":0,"marks":[["s",{"epoch":1.5}]]}]]'
  for (const text of ['', 'x', '{}', '[7]', '[["k"]]', '[["k",null]]', halfMark]) {
    const directory = t.testdir()
    writeFileSync(join(directory, 'udp-senders-1.json'), text)
    const log = logOf()
    t.strictSame(await readSenderMarks(directory, log), [], text)
    t.equal(log.warnings.length, 1, text)
  }
  const log = logOf()
  const source = new Source()
  const file = new SenderMarksFile(join(t.testdir(), 'none'), 1, source, log)
  source.authenticated = 1
  await file.close()
  t.match(log.warnings, [[{ err: { code: 'ENOENT' } }, /could not be written/]])
})
