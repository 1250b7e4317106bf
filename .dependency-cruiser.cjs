/** The import rules of docs/ARCHITECTURE.md: who may import whom. */

/** Rooms of lib/, lowest first, and the rooms that each may import, for values and types alike. `protocol/` is open to all. */
const ROOMS = {
  support: [],
  host: ['support'],
  config: ['database'],
  journal: ['support'],
  limits: ['config'],
  access: ['config', 'limits', 'support'],
  catalogue: ['config', 'limits', 'support'],
  pipeline: ['journal', 'limits', 'support'],
  spool: ['host', 'journal', 'support'],
  replicated: ['journal', 'spool', 'support'],
  database: ['config', 'support'],
  schema: ['catalogue', 'config', 'database', 'queries', 'support', 'upkeep'],
  upkeep: ['config', 'database', 'schema', 'support'],
  queries: ['database', 'limits', 'pipeline', 'support'],
  drain: ['config', 'database', 'journal', 'limits', 'pipeline', 'schema', 'support'],
  embedded: ['database', 'host', 'support'],
  'ingress/http/engines': ['host', 'support'],
  'ingress/http/clients': ['access', 'ingress/http/engines'],
  'ingress/http/openapi': ['access', 'ingress/http/api', 'ingress/http/engines', 'ingress/http/query', 'limits', 'support'],
  'ingress/http/query': ['config', 'ingress/http/api', 'ingress/http/engines', 'support'],
  'ingress/http/api': [
    'access', 'catalogue', 'config', 'ingress/http/clients', 'ingress/http/engines', 'limits', 'pipeline', 'support'
  ],
  'ingress/http/live': ['ingress/http/api', 'ingress/http/engines', 'support'],
  'ingress/http/page': ['ingress/http/api', 'ingress/http/engines'],
  'ingress/udp': ['access', 'limits', 'pipeline', 'support'],
  lane: [
    'config', 'database', 'drain', 'host', 'journal', 'limits', 'messages', 'pipeline', 'replicated', 'spool', 'support'
  ],
  messages: ['access', 'config', 'drain', 'ingress', 'journal', 'limits', 'pipeline', 'support', 'worker'],
  worker: [
    'access', 'database', 'host', 'ingress', 'journal', 'lane', 'limits', 'messages', 'pipeline', 'queries',
    'replicated', 'spool', 'support'
  ],
  operations: ['config', 'database', 'drain', 'journal', 'lane', 'limits', 'pipeline', 'schema', 'spool', 'support'],
  client: [],
  sim: ['client', 'config', 'support']
}

const room = ([name, others]) => ({
  name: `room-${name.replaceAll('/', '-')}`,
  severity: 'error',
  from: { path: `^lib/${name}/` },
  to: { path: '^lib/', pathNot: `^lib/(${[name, ...others].join('|')})/` }
})

const only = (name, who, what) => ({
  name,
  severity: 'error',
  from: { path: '^(lib|protocol)/', pathNot: who },
  to: { path: what }
})

module.exports = {
  forbidden: [
    ...Object.entries(ROOMS).map(room),
    { name: 'no-cycles', severity: 'error', from: {}, to: { circular: true } },
    { name: 'protocol-imports-nothing-of-lib', severity: 'error', from: { path: '^protocol/' }, to: { path: '^lib/' } },
    { name: 'product-imports-no-tests', severity: 'error', from: { path: '^(lib|protocol)/' }, to: { path: '^(test|benchmarks|grafana|page)/' } },
    { name: 'dashboards-know-the-catalogue-and-its-tables', severity: 'error', from: { path: '^grafana/' }, to: { path: '^(lib|test|benchmarks)/', pathNot: '^lib/(catalogue/|database/stream-tables[.]ts$)' } },
    { name: 'the-page-imports-nothing-of-the-server', severity: 'error', from: { path: '^page/' }, to: { path: '^(lib|protocol|test|benchmarks|grafana)/' } },
    { name: 'pipeline-does-no-io', severity: 'error', from: { path: '^lib/pipeline/' }, to: { dependencyTypes: ['core'], path: '^(node:)?(fs|net|http|dgram|child_process|cluster)' } },
    { name: 'only-commands-import-the-primary', severity: 'error', from: { path: '^lib/', pathNot: '^lib/(primary|cli)/' }, to: { path: '^lib/(primary|cli)/' } },
    only('one-importer-of-uws', '^lib/ingress/http/engines/uws/', 'uWebSockets|uws-pack'),
    only('one-importer-of-dgram', '^lib/(ingress/udp|client|sim)/', '^(node:)?dgram$'),
    only('one-importer-of-nats', '^lib/replicated/jetstream\\.ts$', 'node_modules/@nats-io/'),
    only('one-importer-of-pg', '^lib/database/connection\\.ts$', 'node_modules/(pg|pg-copy-streams)/'),
    { name: 'one-importer-of-fs-on-the-data-path', severity: 'error', from: { path: '^lib/(ingress|pipeline|journal|spool|limits)/', pathNot: '^lib/(spool/file-system|ingress/udp/kernel-drops|ingress/http/engines/uws/uws-package)\\.ts$' }, to: { path: '^(node:)?fs' } },
    { name: 'not-to-unresolvable', severity: 'error', from: {}, to: { couldNotResolve: true } },
    { name: 'no-dev-dependency-in-the-product', severity: 'error', from: { path: '^(lib|protocol)/' }, to: { dependencyTypes: ['npm-dev'], pathNot: 'node_modules/@types/' } }
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    tsConfig: { fileName: 'tsconfig.json' },
    tsPreCompilationDeps: true,
    enhancedResolveOptions: { extensions: ['.ts', '.tsx', '.js', '.cjs', '.mjs', '.json', '.node'], conditionNames: ['import', 'require', 'node', 'default', 'types'], exportsFields: ['exports'] }
  }
}
