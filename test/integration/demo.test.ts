/** The demo ends cleanly with a summary, whatever rate the machine sustains, and leaves no process behind. */
import t from 'tap'
import { embeddedUrl } from '../../lib/embedded/embedded.js'
import { findServer } from '../../lib/host/data-directory.js'
import { runProgram } from '../support/programs/command.js'
import { eventually } from '../support/eventually.js'
import { temporaryDirectory } from '../support/database/postgres.js'
import { startProgram, type Program } from '../support/programs/program.js'

const DEADLINE_MS = 60_000

// Not the address that a server without HOST is asked at.
const env = { DATA_DIR: await temporaryDirectory(t), HOST: '127.0.0.2', UDP_PORT: 'off' }

async function printed (demo: Program, what: RegExp): Promise<string> {
  return await eventually(`the demo prints ${what.source}`, DEADLINE_MS, async () =>
    await Promise.resolve(what.exec(demo.stdout)?.[0]))
}

t.test('Ctrl-C ends the demo with all points stored', async (t) => {
  const demo = startProgram(t, 'orbitstream', ['demo', '--port', '0'], { env })
  const url = await printed(demo, /http:\S+(?=\/health)/)
  await eventually('points are accepted', DEADLINE_MS, async () => {
    const { points } = await (await fetch(`${url}/health`)).json() as { points: { accepted: number } }
    return points.accepted > 1_000 ? true : undefined
  })
  demo.child.kill('SIGINT')
  t.equal(await demo.exit, 0, demo.stderr)
  t.match(demo.stdout, /^Accepted +[\d,]+ /m)
  t.match(demo.stdout, /^[\d,]+ points were accepted, and all of them are stored\.$/m)
  t.match(demo.stdout, /^Stopped\.$/m)
  t.notMatch(demo.stderr, 'error')
})

t.test('a second Ctrl-C hurries the server; it does not leave it behind', async (t) => {
  const demo = startProgram(t, 'orbitstream', ['demo', '--port', '0'], { env })
  await printed(demo, /\/health/)
  demo.child.kill('SIGINT')
  await printed(demo, /Storing the remaining points/)
  demo.child.kill('SIGINT')
  t.type(await demo.exit, 'number', 'no signal ended it')
  await t.rejects(findServer(env.DATA_DIR, 'DATA_DIR'), /^No server is running/)
  await eventually('PostgreSQL has stopped', DEADLINE_MS, async () =>
    (await embeddedUrl(env.DATA_DIR))?.running === false ? true : undefined)
})

t.test('what the demo does not serve', async (t) => {
  for (const settings of [{ API_TOKENS: 'sixteen-characters' }, { API_TOKENS_FILE: '/none' }] as const) {
    t.match(await runProgram('orbitstream', ['demo'], { ...env, ...settings }), {
      code: 2, out: '', err: /^error: The demo has no token: unset API_TOKENS and API_TOKENS_FILE/
    })
  }
})
