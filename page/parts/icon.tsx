/** A shape for each state, so that colour is never the only difference. Drawn in the colour of the text around it. */
import type { JSX } from 'preact'
import type { State } from '../model/state.js'

const SHAPES: Readonly<Record<State, JSX.Element>> = {
  ok: <circle cx='8' cy='8' r='3.6' fill='currentColor' />,
  warning: (
    <g>
      <path d='M8 1.6 15.2 14.4H.8Z' fill='currentColor' />
      <path d='M8 6v4M8 11.4v1.4' class='mark' />
    </g>
  ),
  critical: (
    <g>
      <path d='M8 .6 15.4 8 8 15.4.6 8Z' fill='currentColor' />
      <path d='M8 4.4v4.4M8 10.4v1.5' class='mark' />
    </g>
  ),
  stale: (
    <g fill='none' stroke='currentColor' stroke-width='1.6'>
      <circle cx='8' cy='8' r='6.2' />
      <path d='M8 4.4V8l2.6 1.8' stroke-linecap='round' />
    </g>
  ),
  unchecked: (
    <circle cx='8' cy='8' r='3.8' fill='none' stroke='currentColor' stroke-width='1.5' stroke-dasharray='2.2 1.6' />
  )
}

/** Decorative: a word for the state stands beside it, if only for screen readers. */
export function StateIcon ({ state }: { readonly state: State }): JSX.Element {
  return <svg class={`icon ${state}`} viewBox='0 0 16 16' aria-hidden='true' focusable='false'>{SHAPES[state]}</svg>
}
