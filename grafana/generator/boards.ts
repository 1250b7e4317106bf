/** Common to all dashboards: time range, refresh, links to each other, and annotations. */
/* eslint-disable @typescript-eslint/no-deprecated -- file provisioning does not always support the SDK's new format */
import * as dashboard from '@grafana/grafana-foundation-sdk/dashboard'
import type { Builder } from '@grafana/grafana-foundation-sdk/cog'
import { UID } from './panels.js'
import { POSTGRES, sqlTarget } from './sources.js'
import { FROM, TO } from './sql.js'

const TITLES = { fleet: 'Fleet', satellite: 'Satellite', ingest: 'Ingest' } as const
type Board = keyof typeof TITLES

const TAG = 'orbitstream'

export type BoardBuilder = dashboard.DashboardBuilder

export function board (which: Board, description: string, from: string): BoardBuilder {
  const builder = new dashboard.DashboardBuilder(TITLES[which])
    .uid(UID[which])
    .description(description)
    .tags([TAG])
    .timezone('utc')
    .time({ from, to: 'now' })
    .refresh('2s')
    .timepicker(new dashboard.TimePickerBuilder().refreshIntervals(['2s', '5s', '10s', '30s', '1m', '5m']))
    .tooltip(dashboard.DashboardCursorSync.Crosshair)
    .readonly()
    .annotation(inSight(new dashboard.AnnotationQueryBuilder().name('Annotations & Alerts').datasource({
      type: 'grafana',
      uid: '-- Grafana --'
    })
      .builtIn(1).enable(true).hide(true).iconColor('rgba(0, 211, 255, 1)').type('dashboard')))
    .annotation(limitChanges())
  for (const other of Object.keys(TITLES) as Board[]) {
    if (other === which) continue
    builder.link(link(other))
  }
  return builder
}

function link (other: Board): Builder<dashboard.DashboardLink> {
  return inSight(new dashboard.DashboardLinkBuilder(TITLES[other]).type(dashboard.DashboardLinkType.Link)
    .url(`/d/${UID[other]}`).icon('dashboard').tooltip(`Open ${TITLES[other]}`).keepTime(true).includeVars(
      false
    ).targetBlank(false))
}

/** On the dashboard itself rather than in the menu, where the SDK puts it. */
function inSight<T extends { placement?: unknown }> (builder: Builder<T>): Builder<T> {
  const built = builder.build()
  delete built.placement
  return { build: () => built }
}

export function annotation (title: string, colour: string, sql: string): Builder<dashboard.AnnotationQuery> {
  return inSight(new dashboard.AnnotationQueryBuilder()
    .name(title)
    .datasource(POSTGRES)
    .enable(true)
    .iconColor(colour)
    .target(sqlTarget('Anno', 'table', sql)))
}

function limitChanges (): Builder<dashboard.AnnotationQuery> {
  return annotation('Limits changed', 'purple', `
    SELECT changed_at AS "time", format('Limits changed to version %s by %s', version, changed_by) AS text,
           'limits' AS tags
    FROM limits_history WHERE changed_at BETWEEN ${FROM} AND ${TO} ORDER BY version DESC LIMIT 100`)
}
