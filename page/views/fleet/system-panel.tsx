/** What the server runs on: database, spool, workers, and what UDP has lost. */
import type { ComponentChildren, JSX } from 'preact'
import { age, bytes, count } from '../../model/format.js'
import { udpLosses, type FleetTick } from '../../model/fleet.js'
import type { State } from '../../model/state.js'
import { StateIcon } from '../../parts/icon.js'

/** Part of the spool's limit from which it stands out. */
const SPOOL_HIGH = 0.8
const SPOOL_PLACES = { disk: 'on disk', log: 'in the log', memory: 'in memory' } as const
/** Workers named one by one. */
const WORKERS_NAMED = 4

export function SystemPanel ({ tick }: { readonly tick: FleetTick | null }): JSX.Element {
  return (
    <section class='panel system' aria-labelledby='system'>
      <h2 id='system'>System</h2>
      {tick === null
        ? <p class='muted'>–</p>
        : (
          <dl>
            <Database tick={tick} />
            <Spool tick={tick} />
            <Workers tick={tick} />
            <Udp tick={tick} />
          </dl>
          )}
    </section>
  )
}

interface ItemProps {
  readonly title: string
  readonly state: State
  readonly children: ComponentChildren
}

function Item ({ title, state, children }: ItemProps): JSX.Element {
  return <div><dt>{title}</dt><dd><StateIcon state={state} /> <span>{children}</span></dd></div>
}

function Database ({ tick: { database: { kind, embedded, state } } }: { readonly tick: FleetTick }): JSX.Element {
  const product = kind === 'timescale' ? 'TimescaleDB' : 'PostgreSQL'
  return (
    <Item title='Database' state={state === 'up' ? 'ok' : 'critical'}>
      <b>{state === 'up' ? 'Up' : 'Down'}</b> <span class='muted'>{product}{embedded && ', embedded'}</span>
    </Item>
  )
}

function Spool ({ tick: { spool } }: { readonly tick: FleetTick }): JSX.Element {
  const { kind, bytes: used, limit_bytes: limit, oldest_s: oldest } = spool
  const part = limit === null ? 0 : used / limit
  return (
    <Item title='Spool' state={part > SPOOL_HIGH ? 'warning' : 'ok'}>
      <b>{bytes(used)}</b> <span class='muted'>of {bytes(limit)} {SPOOL_PLACES[kind]}</span>
      {oldest !== null && oldest >= 2 && <span class='muted'>, oldest {age(oldest * 1000)}</span>}
      <meter min={0} max={1} high={SPOOL_HIGH} optimum={0} value={part} aria-label='Spool in use' />
    </Item>
  )
}

function Workers ({ tick: { workers } }: { readonly tick: FleetTick }): JSX.Element {
  const ready = workers.filter(({ state }) => state === 'ready')
  const named = workers.length <= WORKERS_NAMED ? workers : workers.filter(({ state }) => state !== 'ready')
  const words = named.slice(0, WORKERS_NAMED).map(({ slot, kind, state, restarts }) => (
    `worker ${slot}, ${kind.toUpperCase()}: ${state}${restarts > 0 ? `, restarted ${restarts}×` : ''}`
  ))
  return (
    <Item title='Workers' state={ready.length === workers.length ? 'ok' : 'critical'}>
      <b>{ready.length} of {workers.length} ready</b>
      {words.map((text) => <span class='muted line' key={text}>{text}</span>)}
    </Item>
  )
}

function Udp ({ tick }: { readonly tick: FleetTick }): JSX.Element {
  const { udp: { sockets, packets } } = tick
  if (sockets.length === 0 && packets === 0) {
    return <Item title='UDP loss' state='unchecked'><span class='muted'>no UDP listener</span></Item>
  }
  const losses = udpLosses(tick).filter((loss) => loss.count !== 0)
  const lost = losses.reduce((sum, loss) => sum + (loss.count ?? 0), 0)
  return (
    <Item title='UDP loss' state={lost === 0 ? 'ok' : 'warning'}>
      <b>{count(lost)}</b> <span class='muted'>of {count(packets + lost)} packets</span>
      {losses.map(({ cause, count: packets }) => (
        <span class='muted line' key={cause}>{packets === null ? 'unknown' : count(packets)} {cause}</span>
      ))}
    </Item>
  )
}
