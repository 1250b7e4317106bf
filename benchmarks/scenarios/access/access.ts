/**
 * What it costs to stand on a network, on both engines: JSON batches over TLS and without it; large uploads with a
 * wrong token and with a right one; an honest client beside thousands of connections that never end.
 */
import type { AttackJob, AttackResult } from '../../load/attack-sender.js'
import { prepareLoad } from '../../load/child.js'
import type { UploadJob, UploadResult } from '../../load/upload-sender.js'
import { runIncoming } from '../../rigs/incoming.js'
import { withServer } from '../../rigs/own-server.js'
import type { RunRecord } from '../../result.js'
import { Costs, type Results, type Session } from '../../session.js'
import { empty, ledgerTotal, settle } from '../../stored.js'
import { wideCatalogue } from '../../wide/wide-points.js'
import { runThroughput } from '../throughput.js'
import { warmUp } from '../warm-up.js'
import { certificateMissing, makeCertificate } from './certificate.js'

const BATCH = 1_000
export const ENGINES = ['uws', 'node'] as const
type Engine = typeof ENGINES[number]

export async function measureAccess (session: Session, results: Results): Promise<void> {
  for (const engine of ENGINES) {
    await measureTls(session, engine, results)
    await measureUploads(session, engine, results)
    await measureAttack(session, engine, results)
  }
}

/** Both servers are new, and warmed up alike. */
async function measureTls (session: Session, engine: Engine, results: Results): Promise<void> {
  const missing = certificateMissing()
  if (missing !== null) {
    results.skip('JSON batches over TLS', missing)
    return
  }
  const { cert, key } = makeCertificate()
  for (const { name, title, files } of [
    { name: 'access_plain', title: 'without TLS', files: {} },
    { name: 'access_tls', title: 'over TLS', files: { TLS_CERT: cert, TLS_KEY: key } }
  ]) {
    await withServer(session, { env: { HTTP_ENGINE: engine }, files }, async (own) => {
      await warmUp(own)
      const run = await runThroughput(own, { format: 'json', batch: BATCH, seconds: own.plan.seconds })
      results.add('access', `${name}_${engine}`, `JSON, ${BATCH} a request, ${title}, ${engine}`, 'points/s', run)
    })
  }
}

const TOKEN = 'the-token-of-this-benchmark'
/** As long, so that only the content tells them apart. */
const WRONG_TOKEN = 'a-token-of-other-benchmarks'
/** Just under 8 MB, the largest body that a server takes by default. */
const UPLOAD = { satellites: 100, bodies: 1, batch: 10_000, wide: { metrics: 27, oneIn: 1 } } as const
const WRONG = 1_000
const WRONG_QUICK = 100
/** What each costs is compared: fewer show it. */
const RIGHT_SHARE = 0.05
const UPLOADERS = 8

async function measureUploads (session: Session, engine: Engine, results: Results): Promise<void> {
  const wrong = session.plan.thorough ? WRONG : WRONG_QUICK
  await withServer(session, {
    // Reading is open: the benchmark asks for the server's processes.
    env: { HTTP_ENGINE: engine, API_TOKENS: TOKEN, READ_OPEN: 'on' },
    files: { CATALOGUE: wideCatalogue(UPLOAD.wide) }
  }, async (own) => {
    for (const { name, title, token, uploads, status } of [
      { name: 'right', title: 'right token', token: TOKEN, uploads: wrong * RIGHT_SHARE, status: 202 },
      { name: 'wrong', title: 'wrong token', token: WRONG_TOKEN, uploads: wrong, status: 401 }
    ]) {
      const job = { port: own.server.port, token, uploads, connections: UPLOADERS, points: UPLOAD }
      results.add('access', `access_upload_${name}_${engine}`, `uploads of 8 MB, ${title}, ${engine}`, 'uploads/s',
        await runUploads(own, job, status))
    }
  })
}

/** @param expected status of every answer; `sent` and `stored` count points, as everywhere */
async function runUploads (own: Session, job: UploadJob, expected: number): Promise<RunRecord> {
  const { db } = own
  await empty(db)
  const load = await prepareLoad<UploadResult>('./upload-sender.js', job)
  const before = await ledgerTotal(db)
  const costs = await Costs.begin(own)
  const startMs = performance.now()
  const { statuses } = await load.run()
  const seconds = (performance.now() - startMs) / 1000
  const acknowledged = (statuses['202'] ?? 0) * job.points.batch
  const { committed } = await settle(db, before, { acknowledged, sent: acknowledged })
  const cost = await costs.end(load.cpuSeconds)
  const answered = statuses[expected] ?? 0
  return {
    rate: answered / seconds,
    seconds,
    sent: job.uploads * job.points.batch,
    acknowledged,
    stored: committed,
    ...cost,
    problems: [
      ...answered === job.uploads
        ? []
        : [`${answered} of ${job.uploads} uploads were answered with ${expected}: ${JSON.stringify(statuses)}`],
      ...committed === acknowledged ? [] : [`${acknowledged} points were acknowledged but ${committed} are stored`]
    ]
  }
}

const SLOW = 10_000
const SLOW_QUICK = 500
const SILENT = 2_000
const SILENT_QUICK = 400
/** Less than this share of the connections is no attack. */
const OPEN_SHARE_MIN = 0.5

async function measureAttack (session: Session, engine: Engine, results: Results): Promise<void> {
  const { plan } = session
  const [slow, silent] = plan.thorough ? [SLOW, SILENT] : [SLOW_QUICK, SILENT_QUICK]
  await withServer(session, { env: { HTTP_ENGINE: engine } }, async (own) => {
    await warmUp(own)
    const load = {
      requestsPerSecond: 1_000, batch: 1, satellites: 100, connections: 64, seconds: plan.besideSeconds
    }
    results.add('access', `access_honest_${engine}`, `1,000 requests/s, nobody else, ${engine}`, 'points/s',
      await runIncoming(own, load))
    const attack = await prepareLoad<AttackResult>('./attack-sender.js', {
      port: own.server.port, slowHeads: slow / 2, slowBodies: slow / 2, silentReaders: silent
    } satisfies AttackJob)
    const attacking = attack.run()
    let notes: string[] = []
    const problems: string[] = []
    const run = await runIncoming(own, load, async (sending) => {
      await sending
      attack.finish()
      const { opened, openLeast } = await attacking
      notes = [`at least ${openLeast} open, ${opened} opened`]
      if (openLeast < (slow + silent) * OPEN_SHARE_MIN) problems.push(`only ${openLeast} connections were held open`)
      return attack.cpuSeconds
    })
    results.add('access', `access_attacked_${engine}`,
      `1,000 requests/s beside ${slow} slow connections and ${silent} silent readers, ${engine}`, 'points/s',
      { ...run, notes, problems: [...run.problems, ...problems] })
  })
}
