/**
 * An Open MCT plugin that shows the satellites of an OrbitStream server: a folder of satellites, a folder of metrics in
 * each, and their past and present as telemetry.
 *
 *   openmct.install(OrbitStream())
 *
 * The page must come from the same origin as OrbitStream, see README.md.
 */

const NAMESPACE = 'orbitstream'
const ROOT = 'satellites'
const STREAM = 'telemetry'
/** Satellites in the folder. */
const SATELLITES_MAX = 1_000
/** Values of a request without a size. */
const VALUES = 1_000
const POLL_MS = 1_000

/** @param options url: where OrbitStream is; token: with the role read, if the server has tokens */
export function OrbitStream ({ url = '', token = null } = {}) {
  async function get (path, query = {}, signal = undefined) {
    const parameters = new URLSearchParams(Object.entries(query).filter(([, value]) => value !== undefined))
    const headers = token === null ? {} : { authorization: `Bearer ${token}` }
    const answer = await fetch(`${url}${path}?${parameters}`, { headers, signal })
    const body = await answer.json()
    if (!answer.ok) throw new Error(body.error.message)
    return body
  }

  const objects = {
    async get ({ key }) {
      if (key === ROOT) return folder(ROOT, 'Satellites', 'ROOT')
      const [satellite, metric] = fromKey(key)
      if (metric === undefined) return folder(key, satellite, `${NAMESPACE}:${ROOT}`)
      const { streams } = await get(`/satellites/${encodeURIComponent(satellite)}`, { metrics: metric })
      const { title, unit, type, limits } = streams[STREAM].metrics[metric]
      const enumerations = await enumerationsOf(metric, type)
      const format = enumerations.length === 0 ? { format: 'float' } : { format: 'enum', enumerations }
      return {
        identifier: { namespace: NAMESPACE, key },
        name: title,
        type: 'orbitstream.metric',
        location: `${NAMESPACE}:${toKey(satellite)}`,
        limits,
        enumerations,
        telemetry: {
          values: [
            { key: 'value', name: title, unit, ...format, hints: { range: 1 } },
            { key: 'utc', source: 'timestamp', name: 'Time', format: 'utc', hints: { domain: 1 } }
          ]
        }
      }
    }
  }

  /** Names of numbers; none for a number. */
  async function enumerationsOf (metric, type) {
    if (type === 'bool') return [{ string: 'false', value: 0 }, { string: 'true', value: 1 }]
    if (type !== 'state') return []
    const { streams } = await get('/catalogue')
    return Object.entries(streams[STREAM].metrics[metric].states).map(([string, value]) => ({ string, value }))
  }

  const composition = {
    appliesTo: ({ identifier, type }) => identifier.namespace === NAMESPACE && type === 'folder',
    async load ({ identifier: { key } }) {
      const children = key === ROOT ? await satelliteKeys() : await metricKeys(...fromKey(key))
      return children.map((child) => ({ namespace: NAMESPACE, key: child }))
    }
  }

  async function satelliteKeys () {
    const { satellites } = await get('/satellites', { limit: SATELLITES_MAX })
    return satellites.map(({ satellite_id: id }) => toKey(id))
  }

  async function metricKeys (satellite) {
    const { streams } = await get(`/satellites/${encodeURIComponent(satellite)}`)
    return Object.keys(streams[STREAM].metrics).map((metric) => toKey(satellite, metric))
  }

  const telemetry = {
    supportsRequest: isMetric,
    supportsSubscribe: isMetric,
    async request ({ identifier }, { start, end, strategy, size, signal } = {}) {
      const [satellite, metric] = fromKey(identifier.key)
      const query = { satellite, metric, start, end }
      return strategy === 'latest'
        ? await get('/query/latest', { ...query, size: size ?? 1 }, signal)
        : await get('/query/minmax', { ...query, size: Math.max(2, Math.floor(size ?? VALUES)) }, signal)
    },
    /** Asks for what is new, every second. */
    subscribe ({ identifier }, callback) {
      const [satellite, metric] = fromKey(identifier.key)
      const stop = new AbortController()
      let start
      const poll = async () => {
        try {
          const size = start === undefined ? 1 : VALUES
          const values = await get('/query/latest', { satellite, metric, start, size }, stop.signal)
          for (const each of values) callback(each)
          // The next microsecond.
          if (values.length > 0) start = (values.at(-1).timestamp + 0.001).toFixed(3)
        } catch (error) {
          if (!stop.signal.aborted) console.warn(`OrbitStream: ${error.message}`)
        }
        if (!stop.signal.aborted) timer = setTimeout(poll, POLL_MS)
      }
      let timer = setTimeout(poll, 0)
      return () => {
        stop.abort()
        clearTimeout(timer)
      }
    },
    supportsLimits: isMetric,
    /** Colours values beyond the limits that the server applies. */
    getLimitEvaluator: ({ limits: { low = {}, high = {}, states = {} }, enumerations }) => ({
      evaluate ({ value }) {
        const name = enumerations.find((each) => each.value === value)?.string
        const isOneOf = (values = []) => values.some((each) => String(each) === name)
        if (isOneOf(states.critical)) return limit('critical', 'upr', 'red', value, value)
        if (isOneOf(states.warning)) return limit('warning', 'upr', 'yellow', value, value)
        if (value < low.critical) return limit('critical', 'lwr', 'red', -Infinity, low.critical)
        if (value > high.critical) return limit('critical', 'upr', 'red', high.critical, Infinity)
        if (value < low.warning) return limit('warning', 'lwr', 'yellow', -Infinity, low.warning)
        if (value > high.warning) return limit('warning', 'upr', 'yellow', high.warning, Infinity)
        return undefined
      }
    })
  }

  return function install (openmct) {
    openmct.types.addType('orbitstream.metric', {
      name: 'Metric', description: 'A metric of a satellite.', cssClass: 'icon-telemetry'
    })
    openmct.objects.addRoot({ namespace: NAMESPACE, key: ROOT })
    openmct.objects.addProvider(NAMESPACE, objects)
    openmct.composition.addProvider(composition)
    openmct.telemetry.addProvider(telemetry)
  }
}

function folder (key, name, location) {
  return { identifier: { namespace: NAMESPACE, key }, name, type: 'folder', location }
}

function limit (name, side, colour, low, high) {
  return { name, cssClass: `is-limit--${side} is-limit--${colour}`, low, high }
}

function isMetric ({ type }) {
  return type === 'orbitstream.metric'
}

/** Ids may have any characters, keys should not: base64url of the id, then the metric after a dot. */
function toKey (satellite, metric) {
  const binary = String.fromCharCode(...new TextEncoder().encode(satellite))
  const id = btoa(binary).replaceAll('+', '-').replaceAll('/', '_').replaceAll('=', '')
  return metric === undefined ? `satellite.${id}` : `satellite.${id}.${metric}`
}

function fromKey (key) {
  const [, id = '', metric] = key.split('.')
  const binary = atob(id.replaceAll('-', '+').replaceAll('_', '/'))
  return [new TextDecoder().decode(Uint8Array.from(binary, (character) => character.charCodeAt(0))), metric]
}
