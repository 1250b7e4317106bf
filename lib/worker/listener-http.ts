/** A worker's HTTP server: engine, routes, and their counters as metrics. */
import { HttpCounters } from '../ingress/http/api/counters.js'
import { UnreadTotal } from '../ingress/http/engines/unread-total.js'
import { loadEngine } from '../ingress/http/engines/load-engine.js'
import { createHandler } from '../ingress/http/api/routes.js'
import { createPageRoutes } from '../ingress/http/page/page-routes.js'
import { ClientAddresses } from '../ingress/http/clients/addresses.js'
import { ConnectionsByAddress } from '../ingress/http/clients/connections.js'
import { findConnectionsMax } from '../host/connections-max.js'
import { PAGE_DIRECTORY, readPageFiles } from './page-files.js'
import type { WorkerSettings } from '../messages/messages.js'
import type { OpenListener } from './listener.js'
import type { WorkerMetrics } from './worker-metrics.js'

export const openHttpListener: OpenListener = async (parts) => {
  const { settings, pipelines, status, tokens, clients, routes, metrics } = parts
  const { config, listener, httpEngine, tls } = settings
  const counters = new HttpCounters((milliseconds) => metrics.observeAck(milliseconds))
  const unread = new UnreadTotal()
  countHttp(metrics, counters)
  countUnread(metrics, unread)
  const engine = await loadEngine(httpEngine)
  const page = await readPageFiles(PAGE_DIRECTORY)
  const server = await engine.listen(config.host, listener.port, createHandler({
    intake: pipelines.telemetry,
    streams: new Map(pipelines.all.map((pipeline) => [pipeline.stream.name, pipeline])),
    status,
    config,
    isReplicated: settings.lane !== null,
    tokens,
    clients,
    counters,
    routes,
    page: (index) => createPageRoutes(page, index),
    now: () => Date.now() * 1000
  }), {
    tls: tls === null ? null : { material: tls, directory: config.dataDir },
    connectionsMax: await findConnectionsMax(),
    connectionsByAddress: connectionsByAddress(config),
    unread,
    onRefused: (code) => { counters.refused[code]++ }
  })
  return {
    engine: engine.name,
    refresh: async () => { await Promise.resolve() },
    udp: () => null,
    senders: ({ offset }) => ({ total: 0, offset, senders: [] }),
    useTls: async (tls) => { await server.useTls(tls) },
    useUdpKeys: () => {},
    // Clients resend a request that was not answered.
    catchUp: async () => { await Promise.resolve() },
    takeOver: () => {},
    retire: async (deadlineMs) => {
      await server.retire(deadlineMs)
      return null
    },
    close: async (deadlineMs) => { await server.close(deadlineMs) }
  }
}

type Config = WorkerSettings['config']

function connectionsByAddress ({ clientConnections, trustedProxies }: Config): ConnectionsByAddress | null {
  return clientConnections === null
    ? null
    : new ConnectionsByAddress(clientConnections, new ClientAddresses(trustedProxies))
}

export function countHttp (metrics: WorkerMetrics, http: HttpCounters): void {
  metrics.counter({
    name: 'orbitstream_http_requests_total',
    help: 'HTTP requests by route and outcome.',
    labelNames: ['route', 'outcome']
  }, (counter) => {
    for (const [route, counts] of Object.entries(http.requests)) {
      for (const [outcome, count] of Object.entries(counts)) counter.inc({ route, outcome }, count as number)
    }
  })
  metrics.counter({
    name: 'orbitstream_http_refused_total',
    help: 'HTTP requests and connections refused before routing, by error code.',
    labelNames: ['code']
  }, (counter) => {
    for (const [code, count] of Object.entries(http.refused)) counter.inc({ code }, count)
  })
  metrics.counter({
    name: 'orbitstream_http_denied_total',
    help: 'HTTP requests denied because of who sent them, by error code: tokens, satellites, rates.',
    labelNames: ['code']
  }, (counter) => {
    for (const [code, count] of Object.entries(http.denied)) counter.inc({ code }, count)
  })
  metrics.counter({
    name: 'orbitstream_http_body_bytes_total',
    help: 'Bytes of request bodies as received from the network.'
  }, (counter) => counter.inc(http.bodyBytes))
}

function countUnread (metrics: WorkerMetrics, unread: UnreadTotal): void {
  metrics.gauge({
    name: 'orbitstream_http_unread_bytes',
    help: 'Answers and chunks of streams that workers keep because clients have not read them.'
  }, (gauge) => gauge.set(unread.bytes))
  metrics.counter({
    name: 'orbitstream_http_unread_total',
    help: 'What was done so that unread answers stay bounded: large answers refused, connections cut, events dropped.',
    labelNames: ['outcome']
  }, (counter) => {
    const { refused, cut, dropped } = unread
    for (const [outcome, count] of Object.entries({ refused, cut, dropped })) counter.inc({ outcome }, count)
  })
}
