/** Who changed the limits, when, and what. */
import type { JSX } from 'preact'
import { dateTime } from '../../model/format.js'
import { changesBetween, type LimitsVersion } from '../../model/limits.js'
import { usePage } from '../../parts/use-page.js'

const VERSIONS_SHOWN = 20
/** One more than is shown, to tell what the last one changed. */
export const VERSIONS_READ = VERSIONS_SHOWN + 1
/** Differences listed for a version. */
const CHANGES_SHOWN = 4

export function History ({ history }: { readonly history: readonly LimitsVersion[] }): JSX.Element {
  const { metric: find } = usePage()
  return (
    <section class='panel' aria-labelledby='history'>
      <h2 id='history'>History</h2>
      <div class='scroll'>
        <table class='rows history'>
          <thead>
            <tr>
              {['Version', 'Time (UTC)', 'By', 'Change'].map((title) => <th scope='col' key={title}>{title}</th>)}
            </tr>
          </thead>
          <tbody>
            {history.slice(0, VERSIONS_SHOWN).map((entry, index) => {
              const before = history[index + 1]
              const changes = before === undefined ? [] : changesBetween(before.limits, entry.limits)
              const words = changes.slice(0, CHANGES_SHOWN).map(({ key, metric, from, to }) => (
                `${find(metric).title}${key === null ? '' : ` (${key})`}: ${from} → ${to}`
              ))
              if (changes.length > CHANGES_SHOWN) words.push(`and ${changes.length - CHANGES_SHOWN} more`)
              return (
                <tr key={entry.version}>
                  <td>{entry.version}</td>
                  <td class='time'>{dateTime(Date.parse(entry.changed_at))}</td>
                  <td>{entry.changed_by}</td>
                  <td class={words.length > 0 ? '' : 'muted'}>
                    {words.length > 0 ? words.join('; ') : entry.version === 1 ? 'first limits' : '–'}
                  </td>
                </tr>
              )
            })}
          </tbody>
        </table>
      </div>
    </section>
  )
}
