/**
 * A tile for each satellite. Only tiles that look different are rendered again. The grid is one stop for the Tab key;
 * the arrow keys move within it.
 */
import type { JSX, TargetedKeyboardEvent } from 'preact'
import { useState } from 'preact/hooks'
import { shortAge } from '../../model/format.js'
import { satelliteHash } from '../../model/route.js'
import type { Shown } from '../../model/satellites.js'
import { STATE_WORDS, type State } from '../../model/state.js'
import { StateIcon } from '../../parts/icon.js'
import { memo } from '../../parts/memo.js'

interface Props {
  readonly shown: readonly Shown[]
  readonly nowMs: number
}

/** Younger than this is now. */
const NOW_MS = 3_000
const NOW = 'now'
/** So few satellites get large tiles, so many small ones. */
const ROOMY_MAX = 120
const DENSE_MIN = 300

export function SatelliteGrid ({ shown, nowMs }: Props): JSX.Element {
  const [focused, setFocused] = useState('')
  const stop = shown.some(({ id }) => id === focused) ? focused : shown[0]?.id
  return (
    <ul
      class={`grid ${densityOf(shown.length)}`} aria-label='Satellites; the arrow keys move between them'
      onKeyDown={moveFocus} onFocusIn={({ target }) => setFocused((target as HTMLElement).dataset['id'] ?? '')}
    >
      {shown.map(({ id, state, before, timeMs }) => (
        <Tile key={id} id={id} state={state} before={before} age={ageOf(nowMs - timeMs)} tabbable={id === stop} />
      ))}
    </ul>
  )
}

function densityOf (satellites: number): string {
  if (satellites <= ROOMY_MAX) return 'roomy'
  return satellites >= DENSE_MIN ? 'dense' : ''
}

export function ageOf (milliseconds: number): string {
  return milliseconds < NOW_MS ? NOW : shortAge(milliseconds)
}

interface TileProps {
  readonly id: string
  readonly state: State
  readonly before: State
  readonly age: string
  readonly tabbable: boolean
}

const Tile = memo(({ id, state, before, age, tabbable }: TileProps): JSX.Element => (
  <li>
    <a class={`tile tile-${state}`} href={satelliteHash(id)} data-id={id} title={id} tabIndex={tabbable ? 0 : -1}>
      <StateIcon state={state} />
      <span class='id'>{id}</span>
      <span class='hidden'> {wordsOf(state, before)} </span>
      <span class={age === NOW ? 'hidden' : 'age'}>{age}</span>
    </a>
  </li>
))

export function wordsOf (state: State, before: State): string {
  return state === 'stale' && before !== 'ok' ? `Stale, was ${STATE_WORDS[before].toLowerCase()}` : STATE_WORDS[state]
}

function moveFocus (event: TargetedKeyboardEvent<HTMLUListElement>): void {
  const links = Array.from(event.currentTarget.querySelectorAll('a'))
  const at = links.findIndex((link) => link === document.activeElement)
  const columns = links.filter(({ offsetTop }) => offsetTop === links[0]?.offsetTop).length
  const steps: Readonly<Record<string, number>> = {
    ArrowRight: 1, ArrowLeft: -1, ArrowDown: columns, ArrowUp: -columns, Home: -at, End: links.length - 1 - at
  }
  const step = steps[event.key]
  const next = step === undefined ? undefined : links[at + step]
  if (next === undefined) return
  event.preventDefault()
  next.focus()
}
