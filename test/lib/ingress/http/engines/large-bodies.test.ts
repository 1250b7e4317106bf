/** Large bodies arrive whole, and let others in between. */
import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { LARGE_BODY_BYTES } from '../../../../../lib/ingress/http/engines/body.js'
import { MAX_BODY_BYTES, POINT, RawClient, onBothEngines, onEngine, post, startRig } from './rig.js'
import type { Socket } from 'node:net'

/** What node:http passes on at a time; some more of it may come before reading stops. */
const READ_BYTES = 64 * 1024
const BATCH = `[${POINT}]`
const LENGTHS = [-1, 0, 1, READ_BYTES, LARGE_BODY_BYTES - 1, LARGE_BODY_BYTES, 2 * LARGE_BODY_BYTES + 1]
  .map((more) => LARGE_BODY_BYTES + more)

function chunked (body: string): string {
  return `${body.length.toString(16)}\r\n${body}\r\n0\r\n\r\n`
}

onBothEngines('bodies of any length around the turns they are read in', async (t, engine) => {
  const { server, intake } = await startRig(t, engine)
  for (const length of LENGTHS) {
    const body = BATCH.padEnd(length)
    const requests = [
      post('/telemetry/batch', `content-length: ${length}`, body),
      post('/telemetry/batch', 'transfer-encoding: chunked', chunked(body))
    ]
    for (const [at, request] of requests.entries()) {
      const client = await RawClient.open(t, server.port)
      client.write(request)
      t.equal((await client.answer()).status, 202, `${length} bytes${at === 0 ? '' : ' in a chunk'}`)
    }
  }
  t.equal(intake.offers.length, 2 * LENGTHS.length)
})

onEngine('node', 'a turn of the event loop reads no more than a part of a body', async (t, engine) => {
  const { server } = await startRig(t, engine)
  const channel = 'http.server.request.start'
  let socket: Socket | null = null
  const begun = (message: unknown): void => { socket = (message as { socket: Socket }).socket }
  subscribe(channel, begun)
  t.teardown(() => unsubscribe(channel, begun))
  let before = 0
  let most = 0
  let watching = true
  const watch = (): void => {
    const bytes = socket?.bytesRead ?? 0
    most = Math.max(most, bytes - before)
    before = bytes
    if (watching) setImmediate(watch)
  }
  watch()
  const client = await RawClient.open(t, server.port)
  client.write(post('/telemetry/batch', `content-length: ${MAX_BODY_BYTES}`, BATCH.padEnd(MAX_BODY_BYTES)))
  const { status } = await client.answer()
  watching = false
  t.equal(status, 202)
  t.ok(most > 0 && most <= LARGE_BODY_BYTES + 2 * READ_BYTES, `${most} bytes in a turn`)
})
