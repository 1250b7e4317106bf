/** The spool on a real file system with failing calls: injected by strace, and on a small tmpfs. */
import t from 'tap'
import type { Test } from 'tap'
import { execFile, execFileSync, spawnSync } from 'node:child_process'
import { mkdtempSync, rmdirSync } from 'node:fs'
import { mkdir } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { appendAll, drain, makeDirectory, openTestSpool } from '../lib/spool/support.js'

const CHILD = fileURLToPath(new URL('./spool-child.js', import.meta.url))
const FRAMES = 12
/** Syncs before that of the first frame: the id, and the first segment's header. */
const SYNCS_BEFORE = 2

const straceMissing = spawnSync('strace', ['-V']).status === 0 ? false : 'strace is not installed'

interface Run {
  readonly exitCode: number | null
  /** By frame number. */
  readonly answers: Map<number, string>
}

/** Runs the child under strace with a fault. */
async function runWith (directory: string, inject: string): Promise<Run> {
  const [call = ''] = inject.split(':')
  const options = ['-f', '-qq', '-o', '/dev/null', '-e', `trace=${call}`, '-e', `inject=${inject}`]
  const args = [...options, process.execPath, CHILD, directory, String(FRAMES)]
  const env = { ...process.env, UV_THREADPOOL_SIZE: '1' }
  return await new Promise((resolve) => {
    // strace counts per thread: with one thread the n-th call is the n-th call.
    const child = execFile('strace', args, { env, timeout: 20_000 }, (_error, stdout) => {
      const answers = new Map(stdout.split('\n').filter((line) => line !== '').map((line) => {
        const [frame, answer = ''] = line.split(' ')
        return [Number(frame), answer] as const
      }))
      resolve({ exitCode: child.exitCode, answers })
    })
  })
}

/** What the next process finds: frame numbers in order. */
async function recovered (t: Test, directory: string): Promise<number[]> {
  const { spool, recovery } = await openTestSpool(t, { directory })
  t.same(recovery.gaps, [])
  spool.resume(null)
  const { texts } = await drain(spool)
  await spool.close()
  return texts.map((text) => Number(text.split('-')[1]))
}

const all = Array.from({ length: FRAMES }, (_, index) => index + 1)

const ONCE = 'fdatasync fails once: every batch is acknowledged, from a new segment, and none is stored twice'
t.test(ONCE, { skip: straceMissing }, async (t) => {
  for (const when of [1, 2, 7]) {
    const directory = await makeDirectory(t)
    const { exitCode, answers } = await runWith(directory, `fdatasync:error=EIO:when=${SYNCS_BEFORE + when}`)
    t.equal(exitCode, 0)
    t.same([...answers.values()], all.map(() => 'ok'))
    t.same(await recovered(t, directory), all)
  }
})

const ALWAYS = 'fdatasync keeps failing: nothing is acknowledged that is not on disk, and the spool reports it'
t.test(ALWAYS, { skip: straceMissing }, async (t) => {
  const directory = await makeDirectory(t)
  const { exitCode, answers } = await runWith(directory, `fdatasync:error=EIO:when=${SYNCS_BEFORE + 5}+`)
  t.equal(exitCode, 3)
  t.same([...answers.values()], all.map((frame) => frame < 5 ? 'ok' : 'spool_failed'))
  const found = await recovered(t, directory)
  t.same(found.slice(0, 4), [1, 2, 3, 4])
  t.ok(found.length <= 5, 'the frame of the failed group may be there, the refused ones are not')
})

t.test('a write without room is cut back, and refused, and the next one taken', { skip: straceMissing }, async (t) => {
  const directory = await makeDirectory(t)
  const { exitCode, answers } = await runWith(directory, 'pwritev:error=ENOSPC:when=4')
  t.equal(exitCode, 0)
  const refused = all.filter((frame) => answers.get(frame) === 'spool_full')
  t.equal(refused.length, 1)
  t.same(await recovered(t, directory), all.filter((frame) => !refused.includes(frame)))
})

t.test('killed at the n-th sync: what was acknowledged is there', { skip: straceMissing }, async (t) => {
  for (let when = 1; when <= 8; when++) {
    const directory = await makeDirectory(t)
    const { answers } = await runWith(directory, `fdatasync:signal=KILL:when=${when}`)
    t.ok(answers.size < FRAMES)
    const found = await recovered(t, directory)
    t.same(found.slice(0, answers.size), [...answers.keys()])
    t.ok(found.length <= answers.size + 1)
  }
})

function mount (path: string): void {
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=64k', 'tmpfs', path], { stdio: 'pipe' })
}

/** Why no small disk can be made; false if it can. */
function tmpfsMissing (): false | string {
  const path = mkdtempSync(join(tmpdir(), 'spool-test-'))
  try {
    mount(path)
    execFileSync('umount', [path])
    return false
  } catch {
    return 'a tmpfs needs root to be mounted'
  } finally {
    rmdirSync(path)
  }
}

const FULL = 'a full disk: batches are refused, none acknowledged is lost, and the drain makes space without a restart'
t.test(FULL, { skip: tmpfsMissing() }, async (t) => {
  const disk = join(await makeDirectory(t), 'disk')
  await mkdir(disk)
  mount(disk)
  t.teardown(() => { execFileSync('umount', [disk]) })
  for (const [slot, segmentBytes] of [8_192, 1_000_000].entries()) {
    const options = { directory: join(disk, `slot-${slot}`), segmentBytes, roomIntervalMs: 5 }
    const { spool, fatal } = await openTestSpool(t, options)
    spool.resume(null)
    const taken: string[] = []
    const stored: string[] = []
    let refusals = 0
    // Three times what the disk holds.
    for (let index = 0; taken.length < 100; index++) {
      if (index === 10_000) throw new Error('the disk stays full')
      const text = `${index}-${'x'.repeat(2000)}`
      const [batch] = await appendAll(spool, [text])
      if (batch!.spooledAnswers[0] === null) {
        taken.push(text)
        continue
      }
      t.equal(batch!.spooledAnswers[0], 'spool_full')
      refusals++
      stored.push(...(await drain(spool)).texts)
      await spool.checkRoom()
    }
    stored.push(...(await drain(spool)).texts)
    t.ok(refusals > 0)
    t.same(stored, taken)
    t.equal(fatal.length, 0)
    await spool.close()
  }
})
