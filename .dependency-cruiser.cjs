/** The import rules of docs/ARCHITECTURE.md: who may import whom. */
const only = (name, who, what) => ({
  name,
  severity: 'error',
  from: { path: '^(lib|protocol)/', pathNot: who },
  to: { path: what }
})

module.exports = {
  forbidden: [
    { name: 'no-cycles', severity: 'error', from: {}, to: { circular: true, viaOnly: { dependencyTypesNot: ['type-only'] } } },
    { name: 'protocol-imports-nothing-of-lib', severity: 'error', from: { path: '^protocol/' }, to: { path: '^lib/' } },
    { name: 'product-imports-no-tests', severity: 'error', from: { path: '^(lib|protocol)/' }, to: { path: '^(test|benchmarks|grafana)/' } },
    { name: 'dashboards-know-the-catalogue-alone', severity: 'error', from: { path: '^grafana/' }, to: { path: '^(lib|test|benchmarks)/' } },
    { name: 'ingress-stands-alone', severity: 'error', from: { path: '^lib/ingress/' }, to: { path: '^lib/(spool|store|cluster|sim|cli)/' } },
    { name: 'local-knows-this-machine-alone', severity: 'error', from: { path: '^lib/local/' }, to: { path: '^lib/', pathNot: '^lib/(local/|store/startup-error\\.ts$)' } },
    { name: 'access-stands-alone', severity: 'error', from: { path: '^lib/access/' }, to: { path: '^lib/', pathNot: '^lib/(access|limits)/|^lib/value-types\\.ts$' } },
    { name: 'spool-stands-alone', severity: 'error', from: { path: '^lib/spool/' }, to: { path: '^lib/(ingress|store|cluster|sim|cli)/' } },
    { name: 'store-stands-alone', severity: 'error', from: { path: '^lib/store/' }, to: { path: '^lib/(ingress|spool|cluster|sim|cli)/' } },
    { name: 'pipeline-looks-only-down', severity: 'error', from: { path: '^lib/pipeline/' }, to: { path: '^lib/(ingress|spool|store|cluster|sim|cli)/' } },
    { name: 'pipeline-does-no-io', severity: 'error', from: { path: '^lib/pipeline/' }, to: { dependencyTypes: ['core'], path: '^(node:)?(fs|net|http|dgram|child_process|cluster)' } },
    { name: 'sim-is-a-client', severity: 'error', from: { path: '^lib/sim/' }, to: { path: '^lib/(ingress|spool|store|cluster|pipeline)/' } },
    { name: 'only-programs-import-cluster', severity: 'error', from: { path: '^lib/', pathNot: '^lib/(cluster|cli)/' }, to: { path: '^lib/cluster/' } },
    only('one-importer-of-uws', '^lib/ingress/http/uws', 'uWebSockets|uws-pack'),
    only('one-importer-of-dgram', '^lib/(ingress/udp|sim)/', '^(node:)?dgram$'),
    only('one-importer-of-pg', '^lib/store/db\\.ts$', 'node_modules/(pg|pg-copy-streams)/'),
    { name: 'one-importer-of-fs-on-the-data-path', severity: 'error', from: { path: '^lib/(ingress|pipeline|spool|limits)/', pathNot: '^lib/(spool/files|ingress/udp/kernel-drops|ingress/http/uws-package)\\.ts$' }, to: { path: '^(node:)?fs' } },
    { name: 'not-to-unresolvable', severity: 'error', from: {}, to: { couldNotResolve: true } },
    { name: 'no-dev-dependency-in-the-product', severity: 'error', from: { path: '^(lib|protocol)/' }, to: { dependencyTypes: ['npm-dev'], pathNot: 'node_modules/@types/' } }
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    tsConfig: { fileName: 'tsconfig.json' },
    tsPreCompilationDeps: true,
    enhancedResolveOptions: { extensions: ['.ts', '.js', '.cjs', '.mjs', '.json', '.node'], conditionNames: ['import', 'require', 'node', 'default', 'types'], exportsFields: ['exports'] }
  }
}
