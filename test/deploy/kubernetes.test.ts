/** The Kubernetes manifests: that they conform to the published types of the API, and fit the program and the image. */
import t from 'tap'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import ts from 'typescript'
import { parseAllDocuments } from 'yaml'
import { loadConfig } from '../../lib/config/config.js'
import { writersOf } from '../../lib/config/settings.js'

const ROOT = fileURLToPath(new URL('../../../', import.meta.url))
/** Besides SHUTDOWN_DEADLINE: until the kubelet notices, and for the process to end. */
const STOP_MARGIN_SECONDS = 10
/** The most that a worker takes apart from MEMORY_MAX_BYTES. */
const WORKER_BYTES = 150 * 2 ** 20
const GIBI = 2 ** 30

/** Whatever a test looks at; the API's own types are in `faultsOf`. */
type Tree = { readonly [key: string]: Tree } & { readonly [index: number]: Tree }
interface Manifest { readonly apiVersion: string, readonly kind: string }

const documents = parseAllDocuments(await readFile(join(ROOT, 'deploy/kubernetes/orbitstream.yaml'), 'utf8'))
  .map((document) => document.toJS() as Manifest)
const image = await readFile(join(ROOT, 'Dockerfile'), 'utf8')

/** The value at a path of the only document of this kind: `spec.template.spec.containers.0`. */
function at (kind: string, path: string): unknown {
  const found = documents.filter((document) => document.kind === kind)
  t.equal(found.length, 1, `one ${kind}`)
  return path.split('.').reduce<unknown>((value, key) => (value as Tree | undefined)?.[key], found[0])
}

const POD = 'spec.template.spec'
const CONTAINER = `${POD}.containers.0`
const inPod = (path: string): unknown => at('StatefulSet', `${POD}.${path}`)
const inContainer = (path: string): unknown => at('StatefulSet', `${CONTAINER}.${path}`)
const gibibytes = (quantity: unknown): number => Number(/^(\d+)Gi$/.exec(String(quantity))?.[1]) * GIBI

const variables = inContainer('env') as ReadonlyArray<{ readonly name: string, readonly value?: string }>
const loaded = loadConfig({
  env: Object.fromEntries(variables.map(({ name, value }) => [name, value ?? 'postgres://x/y']))
})
if (!loaded.ok) throw new Error('invalid settings')
const { config, warnings } = loaded

/** What the compiler says of the manifests as literals of the API's types: it knows every field, and no other. */
function faultsOf (manifests: readonly Manifest[]): string[] {
  const file = join(ROOT, 'test', 'manifests.ts')
  const text = manifests.map((manifest, index) => {
    const module = manifest.apiVersion.includes('/') ? manifest.apiVersion.replace('.k8s.io', '') : 'core/v1'
    const type = `import('kubernetes-types/${module}').${manifest.kind}`
    return `export const m${index}: ${type} = ${JSON.stringify(manifest)}\n`
  }).join('')
  const options: ts.CompilerOptions = {
    strict: true,
    noEmit: true,
    types: [],
    module: ts.ModuleKind.ESNext,
    moduleResolution: ts.ModuleResolutionKind.Bundler
  }
  const host = ts.createCompilerHost(options)
  const disk = ts.createCompilerHost(options)
  host.getSourceFile = (name, target, ...rest) => (
    name === file ? ts.createSourceFile(name, text, target) : disk.getSourceFile(name, target, ...rest)
  )
  host.fileExists = (name) => name === file || disk.fileExists(name)
  host.readFile = (name) => name === file ? text : disk.readFile(name)
  return ts.getPreEmitDiagnostics(ts.createProgram([file], options, host))
    .map(({ messageText }) => ts.flattenDiagnosticMessageText(messageText, ' '))
}

t.test('they conform to the API', (t) => {
  t.same(faultsOf(documents), [])
  const misspelt = JSON.parse(JSON.stringify(documents[0]).replace('readinessProbe', 'readinesProbe')) as Manifest
  t.match(faultsOf([misspelt]), [/readinesProbe/], 'a misspelt key would be found')
  t.end()
})

t.test('the settings are right, and fit the volume, the memory and the time to stop', (t) => {
  t.same(warnings, [])
  t.not(config.apiTokensFile, null)
  const stopSeconds = Number(inContainer('lifecycle.preStop.exec.command.1')) + config.shutdownDeadlineMs / 1000
  t.ok(Number(inPod('terminationGracePeriodSeconds')) >= stopSeconds + STOP_MARGIN_SECONDS)
  const storage = gibibytes(at('StatefulSet', 'spec.volumeClaimTemplates.0.spec.resources.requests.storage'))
  t.ok(storage >= config.spoolMaxBytes + config.spoolReserveBytes)
  const memory = gibibytes(inContainer('resources.limits.memory'))
  t.ok(memory >= writersOf(config) * (WORKER_BYTES + config.memoryMaxBytes))
  t.end()
})

t.test('ports, probes, paths and the user agree with the image and the settings', (t) => {
  t.same(inContainer('ports'), [
    { name: 'http', containerPort: config.port }, { name: 'udp', containerPort: config.udpPorts[0], protocol: 'UDP' }
  ])
  t.same([inContainer('livenessProbe.httpGet.path'), inContainer('readinessProbe.httpGet.path')], ['/live', '/ready'])
  const mounts = inContainer('volumeMounts') as ReadonlyArray<{ readonly name: string, readonly mountPath: string }>
  const paths = new Map(mounts.map(({ name, mountPath }) => [name, mountPath]))
  t.equal(paths.get('data'), /^ENV DATA_DIR=(.*)$/m.exec(image)?.[1])
  t.equal(join(paths.get('secret') ?? '', 'tokens.json'), config.apiTokensFile)
  t.equal(join(paths.get('secret') ?? '', 'udp-keys.yaml'), config.udpKeysFile)
  t.match(image, /^USER node$/m)
  t.equal(inPod('securityContext.runAsUser'), 1000, 'the user node of the image')
  t.end()
})

t.test('everything selects the pods', (t) => {
  const labels = at('StatefulSet', 'spec.template.metadata.labels')
  t.same(at('StatefulSet', 'spec.selector.matchLabels'), labels)
  t.same(at('PodDisruptionBudget', 'spec.selector.matchLabels'), labels)
  t.same(at('NetworkPolicy', 'spec.podSelector.matchLabels'), labels)
  const services = documents.filter(({ kind }) => kind === 'Service') as unknown as Tree[]
  for (const service of services) t.same(service['spec']?.['selector'], labels)
  t.ok(services.some((service) => service['metadata']?.['name'] === at('StatefulSet', 'spec.serviceName')))
  t.end()
})
