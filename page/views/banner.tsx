/** Says what is wrong, since when; empty while nothing is. A live region: screen readers read what is new. */
import type { JSX } from 'preact'
import { age, when } from '../model/format.js'
import type { Problem } from '../model/problems.js'
import { StateIcon } from '../parts/icon.js'

interface Props {
  readonly problems: readonly Problem[]
  readonly nowMs: number
}

export function Banner ({ problems, nowMs }: Props): JSX.Element {
  return (
    <div role='status' aria-label='Problems'>
      {problems.length > 0 && (
        <ul class='banner'>
          {problems.map(({ key, level, title, detail, sinceMs }) => (
            <li key={key} class={level}>
              <StateIcon state={level} />
              <span>{title !== '' && <b>{title}: </b>}{detail}</span>
              {/* It changes all the time, which nobody wants to hear. */}
              <span class='since' aria-live='off'>since {when(sinceMs, nowMs)} UTC, {age(nowMs - sinceMs)}</span>
            </li>
          ))}
        </ul>
      )}
    </div>
  )
}
