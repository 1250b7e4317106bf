/** Every satellite with its state: a grid of up to a thousand, beyond that a list with the worst first. */
import type { JSX } from 'preact'
import { count } from '../../model/format.js'
import { hashOf } from '../../model/route.js'
import { countStates, GRID_MAX, shownState, type Counts, type Shown } from '../../model/satellites.js'
import { STATES, STATE_WORDS, type State } from '../../model/state.js'
import { STALE_CHOICES } from '../../live/staleness.js'
import { StateIcon } from '../../parts/icon.js'
import { usePage } from '../../parts/use-page.js'
import { SatelliteGrid } from './satellite-grid.js'
import { SatelliteList } from './satellite-list.js'

interface Props {
  readonly search: string
  /** '': all. */
  readonly state: string
}

const FILTERED: readonly State[] = STATES.filter((state) => state !== 'unchecked')

export function SatellitesPanel ({ search, state }: Props): JSX.Element {
  const page = usePage()
  const { satellites, staleness } = page
  const nowMs = page.nowMs()
  const all = satellites.sorted.flatMap((id): Shown[] => {
    const satellite = satellites.get(id)
    if (satellite === undefined) return []
    const { timeMs, state: before } = satellite
    return [{ id, timeMs, before, state: shownState(satellite, nowMs, staleness.ms) }]
  })
  const text = search.toLowerCase()
  const shown = all.filter((each) => (state === '' || each.state === state) && each.id.toLowerCase().includes(text))
  return (
    <section class='panel satellites' aria-labelledby='satellites'>
      <div class='title'>
        <h2 id='satellites'>Satellites</h2>
        <StateFilter
          counts={countStates(all.map((each) => each.state))} total={satellites.total} search={search} state={state}
        />
        <div class='end'>
          <StaleChoice />
          <label class='field'>
            Find
            <input
              type='search' placeholder='part of an id' spellcheck={false} maxLength={64} value={search}
              onInput={(event) => replace(hashOf({ view: 'fleet', search: event.currentTarget.value, state }))}
            />
          </label>
        </div>
      </div>
      {page.satellitesFailure !== null && <p class='problem small'>{page.satellitesFailure}</p>}
      {satellites.total > GRID_MAX
        ? <SatelliteList shown={shown} search={search} state={state} nowMs={nowMs} />
        : <SatelliteGrid shown={shown} nowMs={nowMs} />}
      {shown.length === 0 && satellites.total <= GRID_MAX && (
        <p class='note'>{emptyText(page.satellitesRead, all.length)}</p>
      )}
    </section>
  )

  /** Typing makes no history. */
  function replace (hash: string): void {
    history.replaceState(null, '', hash)
    page.readRoute()
  }
}

function emptyText (read: boolean, known: number): string {
  if (!read && known === 0) return 'Loading the satellites …'
  return known === 0 ? 'No satellite has sent a point yet.' : 'No satellite matches.'
}

interface FilterProps extends Props {
  readonly counts: Counts
  readonly total: number
}

function StateFilter ({ counts, total, search, state }: FilterProps): JSX.Element {
  const { go } = usePage()
  const choose = (chosen: string): void => go(hashOf({ view: 'fleet', search, state: chosen }))
  return (
    <div class='choice states' role='group' aria-label='Show satellites by state'>
      <button aria-pressed={state === ''} onClick={() => choose('')}>
        <span class='state'>All</span> <b>{count(total)}</b>
      </button>
      {FILTERED.map((each) => (
        <button key={each} aria-pressed={state === each} onClick={() => choose(state === each ? '' : each)}>
          <StateIcon state={each} /> <span class='state'>{STATE_WORDS[each]}</span> <b>{count(counts[each])}</b>
        </button>
      ))}
    </div>
  )
}

function StaleChoice (): JSX.Element {
  const { staleness, changes } = usePage()
  return (
    <label class='field'>
      Stale after
      <select
        value={String(staleness.ms)}
        onChange={(event) => {
          staleness.choose(Number(event.currentTarget.value))
          changes.now()
        }}
      >
        {STALE_CHOICES.map(({ ms, title }) => <option key={ms} value={String(ms)}>{title}</option>)}
      </select>
    </label>
  )
}
