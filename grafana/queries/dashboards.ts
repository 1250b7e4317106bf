/** The files that Grafana is given, read as they are checked in, and every query in them. */
import { readFileSync } from 'node:fs'
import { parse } from 'yaml'

const GRAFANA = new URL('../../../grafana/', import.meta.url)

export interface Target {
  readonly refId: string
  readonly datasource: { readonly uid: string }
  readonly format?: 'table' | 'time_series'
  readonly rawSql?: string
  readonly expr?: string
  readonly legendFormat?: string
}

interface Override {
  readonly matcher: { readonly id: string, readonly options: string }
  readonly properties: ReadonlyArray<{ readonly id: string, readonly value: unknown }>
}

export interface Panel {
  readonly id: number
  readonly type: string
  readonly title: string
  readonly description?: string
  readonly interval?: string
  readonly gridPos: { readonly x: number, readonly y: number, readonly w: number, readonly h: number }
  readonly datasource?: { readonly uid: string }
  readonly targets?: readonly Target[]
  readonly panels?: readonly Panel[]
  readonly fieldConfig?: { readonly defaults: { readonly noValue?: string }, readonly overrides: readonly Override[] }
}

interface Variable {
  readonly name: string
  readonly type: string
  readonly query: string
  readonly current?: { readonly value: string }
  readonly datasource?: { readonly uid: string }
}

interface Annotation { readonly name: string, readonly datasource: { readonly uid: string }, readonly target?: Target }

export interface Dashboard {
  readonly uid: string
  readonly title: string
  readonly refresh: string
  readonly timezone: string
  readonly panels: readonly Panel[]
  readonly templating: { readonly list?: readonly Variable[] }
  readonly annotations: { readonly list: readonly Annotation[] }
  readonly links: ReadonlyArray<{ readonly url: string }>
}

export interface AlertRule {
  readonly uid: string
  readonly title: string
  readonly condition: string
  readonly data: ReadonlyArray<{
    readonly refId: string
    readonly datasourceUid: string
    readonly model: { readonly rawSql?: string, readonly expression?: string }
  }>
  readonly dashboardUid: string
  readonly panelId: number
  readonly noDataState: string
  readonly annotations: Readonly<Record<string, string>>
}

export function grafanaFile (path: string): string {
  return readFileSync(new URL(path, GRAFANA), 'utf8')
}

export const DASHBOARDS = ['fleet', 'satellite', 'ingest'].map((name) => JSON.parse(
  grafanaFile(`dashboards/${name}.json`)) as Dashboard)

interface Alerting { readonly groups: ReadonlyArray<{ readonly rules: readonly AlertRule[] }> }

const ALERTING = parse(grafanaFile('provisioning/alerting/orbitstream.yml')) as Alerting

export const ALERT_RULES = ALERTING.groups.flatMap(({ rules }) => rules)

/** Rows' panels included, rows not. */
export function panelsOf (dashboard: Dashboard): Panel[] {
  return dashboard.panels.flatMap((panel) => panel.type === 'row' ? [...panel.panels ?? []] : [panel])
}

/** What a query is for, and so what its answer must look like. */
export type Purpose = 'stat' | 'series' | 'table' | 'annotation' | 'variable' | 'alert'

export interface DashboardQuery {
  readonly title: string
  readonly purpose: Purpose
  readonly sql: string
  /** Least width of a bucket of its panel. */
  readonly intervalMsMin: number
  /** Series or columns that the panel draws in a way of their own, by name. */
  readonly panel: Panel | null
}

/** Every SQL query of every panel, variable, annotation and alert. */
export function allQueries (): DashboardQuery[] {
  return [...DASHBOARDS.flatMap(queriesOf), ...ALERT_RULES.flatMap(({ title, data }) => data.flatMap(({ model }) => {
    return model.rawSql === undefined
      ? []
      : [
          { title: `alert: ${title}`, purpose: 'alert' as const, sql: model.rawSql, intervalMsMin: 1000, panel: null }
        ]
  }))]
}

/** Every SQL query of one dashboard. */
export function queriesOf (dashboard: Dashboard): DashboardQuery[] {
  const { title, templating, annotations } = dashboard
  return [
    ...(templating.list ?? []).filter(({ type }) => type === 'query').map(({ name, query }) => ({
      title: `${title}: variable ${name}`, purpose: 'variable' as const, sql: query, intervalMsMin: 1000, panel: null
    })),
    ...annotations.list.flatMap(({ name, target }) => target?.rawSql === undefined
      ? []
      : [
          {
            title: `${title}: annotation ${name}`,
            purpose: 'annotation' as const,
            sql: target.rawSql,
            intervalMsMin: 1000,
            panel: null
          }
        ]),
    ...panelsOf(dashboard).flatMap((panel) => (panel.targets ?? []).flatMap((target) => target.rawSql === undefined
      ? []
      : [
          {
            title: `${title}: ${panel.title} ${target.refId}`,
            purpose: purposeOf(panel, target),
            sql: target.rawSql,
            intervalMsMin: panel.interval === '10s' ? 10_000 : 1000,
            panel
          }
        ]))
  ]
}

function purposeOf (panel: Panel, target: Target): Purpose {
  if (target.format === 'time_series') return 'series'
  return panel.type === 'stat' ? 'stat' : 'table'
}

/** Ranges that people choose, with the interval that a panel of about a thousand pixels then asks for. */
export const RANGES = [
  { title: '5 minutes', rangeMs: 300_000, intervalMs: 200 },
  { title: '1 hour', rangeMs: 3_600_000, intervalMs: 2_000 },
  { title: '24 hours', rangeMs: 86_400_000, intervalMs: 60_000 },
  { title: '30 days', rangeMs: 30 * 86_400_000, intervalMs: 1_800_000 }
] as const
