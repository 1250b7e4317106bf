/** The runner of the test files: what fails is seen. */
import t from 'tap'
import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { nodeCommand } from './support/programs/command.js'

const RUNNER = fileURLToPath(new URL('run.js', import.meta.url))

async function run (...files: string[]): Promise<{ code: number | null, out: string }> {
  const [command, ...rest] = nodeCommand()
  return await new Promise((resolve) => {
    const child = execFile(command, [...rest, RUNNER, ...files], (_, out) => { resolve({ code: child.exitCode, out }) })
  })
}

t.test('one file that fails, or is not there, fails the run, and its output is printed', async (t) => {
  const folder = t.testdir({
    'good.mjs': 'console.log("hidden")', 'bad.mjs': 'console.log("shown"); process.exitCode = 3'
  })
  const [good, bad, none] = [join(folder, 'good.mjs'), join(folder, 'bad.mjs'), join(folder, 'none.mjs')]
  const [allGood, some] = await Promise.all([run(good), run(good, bad, none)])
  t.equal(allGood.code, 0)
  t.match(allGood.out, /^ok .* s {2}\S+good\.mjs\n[^]*1 passed, 0 failed\n$/)
  t.notMatch(allGood.out, 'hidden')
  t.equal(some.code, 1)
  t.match(some.out, /FAILED .*bad\.mjs\nshown\n\nexit code: 3\n/)
  t.match(some.out, /These failed:\n\S+\n\S+\n\n1 passed, 2 failed\n$/)
})
