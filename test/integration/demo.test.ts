/** The demo ends cleanly with a summary, whatever rate the machine sustains. */
import t from 'tap'
import { eventually } from '../support/eventually.js'
import { temporaryDirectory } from '../support/postgres.js'
import { startProgram } from '../support/program.js'

const DEADLINE_MS = 60_000

t.test('Ctrl-C ends the demo with all points stored', async (t) => {
  const env = { DATA_DIR: await temporaryDirectory(t), HOST: '127.0.0.1', UDP_PORT: 'off' }
  const demo = startProgram(t, 'orbitstream', ['demo', '--port', '0'], { env })
  const url = await eventually('the demo prints its address', DEADLINE_MS, async () => (
    await Promise.resolve(/http:\S+(?=\/health)/.exec(demo.stdout)?.[0])))
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
