/**
 * Runs test files, two at a time, each as a plain Node.js program: `node dist/test/run.js [FILE …]`.
 *
 * The runner of tap puts a module loader into every test process, even without coverage. It costs each of them about a
 * second of processor time, more than most of them need. A test file of tap is a program of its own, whose exit code is
 * its result, so nothing else is lost; `npx tap` runs the same files, with coverage if it is asked for.
 */
import { spawn, type ChildProcess } from 'node:child_process'
import { readdirSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { join, relative, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'

const ROOT = fileURLToPath(new URL('../../', import.meta.url))
const TESTS = join(ROOT, 'dist/test')
const JOBS = Math.min(2, availableParallelism())
/** Of a test that sets none itself; tap reads it from the environment. */
const TEST_TIMEOUT_SECONDS = 300
/** A file whose own time-outs do not end it; the longest of them is ten minutes, and a file may have several. */
const FILE_DEADLINE_MS = 30 * 60_000
const SLOWEST_LISTED = 15

interface Ended {
  readonly file: string
  readonly seconds: number
  readonly hasPassed: boolean
  /** Everything that it printed. */
  readonly output: string
}

const running = new Set<ChildProcess>()

function allFiles (): string[] {
  const files = readdirSync(TESTS, { recursive: true, encoding: 'utf8' })
  return files.filter((file) => file.endsWith('.test.js')).sort().map((file) => join(TESTS, file))
}

async function runFile (file: string): Promise<Ended> {
  const startedMs = performance.now()
  const child = spawn(process.execPath, ['--enable-source-maps', file], {
    cwd: ROOT,
    env: { ...process.env, TAP_TIMEOUT: String(TEST_TIMEOUT_SECONDS) },
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: FILE_DEADLINE_MS
  })
  running.add(child)
  const chunks: Buffer[] = []
  child.stdout.on('data', (chunk: Buffer) => chunks.push(chunk))
  child.stderr.on('data', (chunk: Buffer) => chunks.push(chunk))
  const code = await new Promise<number | string>((resolve) => {
    child.once('error', ({ message }) => resolve(message))
    child.once('close', (code, signal) => resolve(code ?? signal ?? 'no exit code'))
  })
  running.delete(child)
  const output = Buffer.concat(chunks).toString()
  return {
    file: relative(ROOT, file),
    seconds: (performance.now() - startedMs) / 1000,
    hasPassed: code === 0,
    output: code === 0 ? output : `${output}\nexit code: ${code}`
  }
}

function report ({ file, seconds, hasPassed, output }: Ended): void {
  console.log(`${hasPassed ? 'ok    ' : 'FAILED'} ${seconds.toFixed(1).padStart(6)} s  ${file}`)
  if (!hasPassed) console.log(output)
}

async function main (words: readonly string[]): Promise<number> {
  const waiting = words.length === 0 ? allFiles() : words.map((word) => resolve(word))
  const ended: Ended[] = []
  await Promise.all(Array.from({ length: JOBS }, async () => {
    for (let file = waiting.shift(); file !== undefined; file = waiting.shift()) {
      const one = await runFile(file)
      ended.push(one)
      report(one)
    }
  }))
  const failed = ended.filter(({ hasPassed }) => !hasPassed)
  const slowest = ended.toSorted((a, b) => b.seconds - a.seconds).slice(0, SLOWEST_LISTED)
  console.log('\nThe slowest:')
  for (const { file, seconds } of slowest) console.log(`${seconds.toFixed(1).padStart(6)} s  ${file}`)
  if (failed.length > 0) console.log(`\nThese failed:\n${failed.map(({ file }) => file).join('\n')}`)
  console.log(`\n${ended.length - failed.length} passed, ${failed.length} failed`)
  return failed.length === 0 && ended.length > 0 ? 0 : 1
}

// Whoever ends this ends the tests, which then end what they have started.
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, () => {
    for (const child of running) child.kill(signal)
    process.exit(1)
  })
}
process.exitCode = await main(process.argv.slice(2))
