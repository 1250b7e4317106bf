/** What the page shows, as the hash of its address: a link that anybody can open, and that a reload keeps. */

export const RANGES = ['15m', '1h', '6h', '1d', '7d', '30d'] as const
export type Range = typeof RANGES[number]

export type Route =
  | { readonly view: 'fleet', readonly search: string, readonly state: string }
  | {
    readonly view: 'satellite'
    readonly id: string
    readonly range: Range
    /** Null: not chosen yet. */
    readonly metrics: readonly string[] | null
  }
  | { readonly view: 'anomalies', readonly satellite: string, readonly metric: string, readonly severity: string }
  | { readonly view: 'limits' }

const MINUTE_MS = 60_000

export const RANGE_MS: Readonly<Record<Range, number>> = {
  '15m': 15 * MINUTE_MS,
  '1h': 60 * MINUTE_MS,
  '6h': 360 * MINUTE_MS,
  '1d': 1440 * MINUTE_MS,
  '7d': 7 * 1440 * MINUTE_MS,
  '30d': 30 * 1440 * MINUTE_MS
}

/** An address that makes no sense shows the fleet. */
export function parseRoute (hash: string): Route {
  const [path = '', query = ''] = split(hash.replace(/^#/, ''))
  const options = new URLSearchParams(query)
  const text = (name: string): string => options.get(name) ?? ''
  const [, view, id] = path.split('/')
  if (view === 'satellite' && id !== undefined && id !== '') {
    const range = RANGES.find((each) => each === text('range')) ?? '15m'
    const metrics = options.get('metrics')
    return {
      view, id: decode(id), range, metrics: metrics === null ? null : metrics.split(',').filter((name) => name !== '')
    }
  }
  if (view === 'anomalies') {
    return { view, satellite: text('satellite'), metric: text('metric'), severity: text('severity') }
  }
  if (view === 'limits') return { view }
  return { view: 'fleet', search: text('search'), state: text('state') }
}

export function hashOf (route: Route): string {
  switch (route.view) {
    case 'fleet': return '#/' + queryOf({ search: route.search, state: route.state })
    case 'satellite': return `#/satellite/${encodeURIComponent(route.id)}` + queryOf({
      range: route.range === '15m' ? '' : route.range
    }, route.metrics)
    case 'anomalies': {
      const { satellite, metric, severity } = route
      return '#/anomalies' + queryOf({ satellite, metric, severity })
    }
    case 'limits': return '#/limits'
  }
}

export function satelliteHash (id: string): string {
  return hashOf({ view: 'satellite', id, range: '15m', metrics: null })
}

function queryOf (options: Readonly<Record<string, string>>, metrics: readonly string[] | null = null): string {
  const query = new URLSearchParams(Object.entries(options).filter(([, value]) => value !== ''))
  if (metrics !== null) query.set('metrics', metrics.join(','))
  return query.size === 0 ? '' : `?${query.toString()}`
}

function split (text: string): string[] {
  const at = text.indexOf('?')
  return at < 0 ? [text] : [text.slice(0, at), text.slice(at + 1)]
}

function decode (text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}
