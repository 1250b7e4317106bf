/** Common to all dashboards: time range, refresh, links to each other, and annotations. */
/* eslint-disable @typescript-eslint/no-deprecated -- file provisioning does not always support the SDK's new format */
import * as dashboard from '@grafana/grafana-foundation-sdk/dashboard'
import type { Builder } from '@grafana/grafana-foundation-sdk/cog'
import { TELEMETRY, type Stream } from '../../protocol/catalogue.js'
import { UID } from './panels.js'
import { POSTGRES, sqlTarget } from './sources.js'
import { FROM, TO } from './sql.js'
import { boardUid, type Streams } from './streams.js'

const TITLES = { fleet: 'Fleet', satellite: 'Satellite', ingest: 'Ingest' } as const
type Board = keyof typeof TITLES

const TAG = 'orbitstream'
/** Of the dashboards of satellites, one for each stream. */
const STREAM_TAG = 'orbitstream-stream'

export type BoardBuilder = dashboard.DashboardBuilder

/** What a dashboard is called and known by. */
interface Identity { readonly title: string, readonly uid: string, readonly tags: readonly string[] }

/** @param which satellite: that of this stream */
function identityOf (which: Board, streams: Streams, stream: Stream): Identity {
  const title = stream.name === TELEMETRY ? TITLES[which] : `${TITLES[which]}: ${stream.title}`
  if (which !== 'satellite') return { title, uid: UID[which], tags: [TAG] }
  return { title, uid: boardUid(stream), tags: streams.length > 1 ? [TAG, STREAM_TAG] : [TAG] }
}

export interface BoardOptions {
  readonly description: string
  readonly from: string
  /** Those that have dashboards. */
  readonly streams: Streams
  /** The one that the dashboard is for. */
  readonly stream?: Stream
}

export function board (which: Board, { description, from, streams, stream = streams[0] }: BoardOptions): BoardBuilder {
  const { title, uid, tags } = identityOf(which, streams, stream)
  const builder = new dashboard.DashboardBuilder(title)
    .uid(uid)
    .description(description)
    .tags([...tags])
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
    if (UID[other] === uid) continue
    builder.link(link(other))
  }
  if (streams.length > 1) builder.link(streamLinks())
  return builder
}

/** A menu of the dashboards of all streams, for the same satellite. */
function streamLinks (): Builder<dashboard.DashboardLink> {
  return inSight(new dashboard.DashboardLinkBuilder('Streams').type(dashboard.DashboardLinkType.Dashboards)
    .tags([STREAM_TAG]).asDropdown(true).keepTime(true).includeVars(true).targetBlank(false))
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
