/** Accepted, spooled, committed: how many points have come how far, and what is in between. */
import type { JSX } from 'preact'
import { count } from '../../model/format.js'
import { notStored, type FleetTick } from '../../model/fleet.js'
import { StateIcon } from '../../parts/icon.js'

export function PathPanel ({ tick }: { readonly tick: FleetTick | null }): JSX.Element {
  const points = tick?.points ?? {}
  const total = (name: string): string => count(points[name] ?? null)
  const losses = tick === null ? [] : notStored(tick)
  return (
    <section class='panel path' aria-labelledby='path'>
      <h2 id='path'>Pipeline <span class='muted'>since the start</span></h2>
      <ol>
        <li><span>Accepted</span> <b>{total('accepted')}</b></li>
        <li class='between'><span>not yet on disk</span> <span>{total('unspooled')}</span></li>
        <li><span>Spooled, acknowledged</span> <b>{total('spooled')}</b></li>
        <li class='between'><span>not yet in the database</span> <span>{total('waiting')}</span></li>
        {(points['recovered'] ?? 0) > 0 && (
          <li class='between'><span>recovered from before</span> <span>+{total('recovered')}</span></li>
        )}
        <li><span>Committed</span> <b>{total('committed')}</b></li>
      </ol>
      {tick !== null && losses.length === 0 && <p class='small muted'>No points refused or lost</p>}
      {losses.length > 0 && (
        <p class='small warning'>
          <StateIcon state='warning' /> Not stored:
          {' '}{losses.map(({ cause, count: points }) => `${count(points)} ${cause}`).join(', ')}
        </p>
      )}
    </section>
  )
}
