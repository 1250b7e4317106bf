/** More satellites than fit into a grid: those that need attention first, and a search that asks the server. */
import type { JSX } from 'preact'
import { useEffect, useState } from 'preact/hooks'
import { count, dateTime } from '../../model/format.js'
import { satelliteHash } from '../../model/route.js'
import { satellitesOf, shownState, type Satellite, type SatellitePage, type Shown } from '../../model/satellites.js'
import { STATES, type State } from '../../model/state.js'
import { StateIcon } from '../../parts/icon.js'
import { memo } from '../../parts/memo.js'
import { usePage } from '../../parts/use-page.js'
import { ageOf, wordsOf } from './satellite-grid.js'

const ROWS_MAX = 200
const SEARCH_DELAY_MS = 300
const SEARCH_EVERY_MS = 5_000

interface Props {
  readonly shown: readonly Shown[]
  readonly search: string
  /** '': all. */
  readonly state: string
  readonly nowMs: number
}

export function SatelliteList ({ shown, search, state, nowMs }: Props): JSX.Element {
  const { satellites, staleness } = usePage()
  // The page holds a part of a very large fleet.
  const found = useSearch(satellites.total > satellites.size ? search : '')
  const others = found.filter(({ id }) => satellites.get(id) === undefined).map((satellite) => (
    { ...satellite, before: satellite.state, state: shownState(satellite, nowMs, staleness.ms) }
  )).filter((each) => state === '' || each.state === state)
  const rows = [...shown, ...others].sort((a, b) => STATES.indexOf(a.state) - STATES.indexOf(b.state))
  return (
    <>
      <p class='muted small' role='status'>
        {rows.length > ROWS_MAX
          ? `The first ${ROWS_MAX} of ${count(rows.length)}, those that need attention first`
          : `${count(rows.length)} shown`}
        {satellites.total > satellites.size && (
          `; the page holds ${count(satellites.size)} of ${count(satellites.total)}: find others by their id`
        )}
      </p>
      <div class='scroll'>
        <table class='rows'>
          <thead>
            <tr>
              <th scope='col'>Satellite</th>
              <th scope='col'>State</th>
              <th scope='col' class='number'>Age</th>
              <th scope='col' class='wide'>Last point (UTC)</th>
            </tr>
          </thead>
          <tbody>
            {rows.slice(0, ROWS_MAX).map(({ id, state, before, timeMs }) => (
              <Row key={id} id={id} state={state} before={before} age={ageOf(nowMs - timeMs)} time={dateTime(timeMs)} />
            ))}
          </tbody>
        </table>
      </div>
    </>
  )
}

interface RowProps {
  readonly id: string
  readonly state: State
  readonly before: State
  readonly age: string
  readonly time: string
}

const Row = memo(({ id, state, before, age, time }: RowProps): JSX.Element => (
  <tr>
    <th scope='row'><a href={satelliteHash(id)}>{id}</a></th>
    <td class={state}><StateIcon state={state} /> {wordsOf(state, before)}</td>
    <td class='number'>{age}</td>
    <td class='wide muted'>{time}</td>
  </tr>
))

/** Satellites that the server finds; none while `search` is empty. */
function useSearch (search: string): readonly Satellite[] {
  const { http } = usePage()
  const [found, setFound] = useState<readonly Satellite[]>([])
  useEffect(() => {
    setFound([])
    if (search === '') return
    const aborted = new AbortController()
    const ask = async (): Promise<void> => {
      const path = `/satellites?limit=${ROWS_MAX}&match=${encodeURIComponent(search)}`
      const answer = await http.get<SatellitePage>(path, aborted.signal)
      if (answer.ok && !aborted.signal.aborted) setFound(satellitesOf(answer.value))
    }
    const first = setTimeout(() => { void ask() }, SEARCH_DELAY_MS)
    const every = setInterval(() => { void ask() }, SEARCH_EVERY_MS)
    return () => {
      aborted.abort()
      clearTimeout(first)
      clearInterval(every)
    }
  }, [http, search])
  return found
}
