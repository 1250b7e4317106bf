/** The provisioned data sources, and panel queries for each. */
import type { Builder, Dataquery } from '@grafana/grafana-foundation-sdk/cog'
import type { DataSourceRef } from '@grafana/grafana-foundation-sdk/common'
import { DataqueryBuilder } from '@grafana/grafana-foundation-sdk/prometheus'

export const POSTGRES: Required<Pick<DataSourceRef, 'type' | 'uid'>> = {
  type: 'grafana-postgresql-datasource',
  uid: 'orbitstream-postgres'
}
export const PROMETHEUS: Required<Pick<DataSourceRef, 'type' | 'uid'>> = {
  type: 'prometheus',
  uid: 'orbitstream-prometheus'
}

/** `table`: verbatim. `time_series`: a column "time", then either values, or "metric" and one value. */
export type SqlFormat = 'table' | 'time_series'

/** A query as stored by Grafana's PostgreSQL data source; the SDK has no type for it. */
export interface SqlQuery {
  readonly refId: string
  readonly datasource: DataSourceRef
  readonly editorMode: 'code'
  readonly rawQuery: true
  readonly format: SqlFormat
  readonly rawSql: string
}

export function sqlQuery (refId: string, format: SqlFormat, rawSql: string): SqlQuery {
  return { refId, datasource: POSTGRES, editorMode: 'code', rawQuery: true, format, rawSql: tidy(rawSql) }
}

export function sqlTarget (refId: string, format: SqlFormat, rawSql: string): Builder<Dataquery> {
  const query = sqlQuery(refId, format, rawSql)
  return { build: () => ({ ...query, _implementsDataqueryVariant: () => undefined }) }
}

export function promTarget (refId: string, legend: string, expr: string): Builder<Dataquery> {
  return new DataqueryBuilder().datasource(PROMETHEUS).refId(refId).legendFormat(legend).expr(expr).range()
}

/** Without source indentation. */
export function tidy (sql: string): string {
  const lines = sql.split('\n').filter((line) => line.trim() !== '')
  const indents = lines.slice(1).map((line) => line.length - line.trimStart().length)
  const indent = Math.min(...indents, Infinity)
  return lines.map((line, index) => index === 0 ? line.trim() : line.slice(indent).trimEnd()).join('\n')
}
