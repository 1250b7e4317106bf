/** The frame of the page: header, banner, and the view that the address names. */
import type { JSX } from 'preact'
import { useEffect, useReducer, useRef } from 'preact/hooks'
import { clock, dateTime } from '../model/format.js'
import type { Route } from '../model/route.js'
import type { PageModel } from '../live/page-model.js'
import { StateIcon } from '../parts/icon.js'
import { PageContext } from '../parts/use-page.js'
import { AnomaliesView } from './anomalies.js'
import { Banner } from './banner.js'
import { FleetView } from './fleet/fleet.js'
import { LimitsView } from './limits/limits.js'
import { SatelliteView } from './satellite/satellite.js'
import { TokenDialog } from './token.js'

const TABS = [
  { view: 'fleet', hash: '#/', title: 'Fleet' },
  { view: 'anomalies', hash: '#/anomalies', title: 'Anomalies' },
  { view: 'limits', hash: '#/limits', title: 'Limits' }
] as const

export function App ({ page }: { readonly page: PageModel }): JSX.Element {
  const [, render] = useReducer((count: number) => count + 1, 0)
  useEffect(() => page.changes.watch(() => render(null)), [page])
  const { route } = page
  const main = useRef<HTMLElement>(null)
  const place = route.view === 'satellite' ? route.id : route.view
  const first = useRef(true)
  useEffect(() => {
    document.title = `${titleOf(route)} · OrbitStream`
    if (!first.current) {
      main.current?.focus()
      scrollTo(0, 0)
    }
    first.current = false
  }, [place])
  return (
    <PageContext.Provider value={page}>
      <button class='skip' onClick={() => main.current?.focus()}>Skip to the content</button>
      <Header page={page} />
      <Banner problems={page.problems} nowMs={page.nowMs()} />
      <main ref={main} tabIndex={-1} aria-label={titleOf(route)}><View key={place} route={route} /></main>
      <TokenDialog />
    </PageContext.Provider>
  )
}

function titleOf (route: Route): string {
  return route.view === 'satellite' ? route.id : TABS.find(({ view }) => view === route.view)?.title ?? ''
}

function View ({ route }: { readonly route: Route }): JSX.Element {
  switch (route.view) {
    case 'fleet': return <FleetView route={route} />
    case 'satellite': return <SatelliteView route={route} />
    case 'anomalies': {
      const { satellite, metric, severity } = route
      return <AnomaliesView satellite={satellite} metric={metric} severity={severity} />
    }
    case 'limits': return <LimitsView />
  }
}

function Header ({ page }: { readonly page: PageModel }): JSX.Element {
  const { route, link } = page
  const tab = route.view === 'satellite' ? 'fleet' : route.view
  const nowMs = page.nowMs()
  return (
    <header class='top'>
      <span class='brand'><img src='icon.svg' alt='' /> OrbitStream</span>
      <nav aria-label='Views'>
        <ul>
          {TABS.map(({ view, hash, title }) => (
            <li key={view}>
              <a href={hash} aria-current={view === tab ? 'page' : undefined}>
                {title}
              </a>
            </li>
          ))}
        </ul>
      </nav>
      <div class='end'>
        <LinkState state={link.state} />
        <time dateTime={new Date(nowMs).toISOString()} title={`${dateTime(nowMs)} UTC`}>{clock(nowMs)} UTC</time>
      </div>
    </header>
  )
}

function LinkState ({ state }: { readonly state: PageModel['link']['state'] }): JSX.Element {
  if (state === 'live') return <span class='link live'><StateIcon state='ok' /> Live</span>
  if (state === 'opening') return <span class='link'><StateIcon state='unchecked' /> Connecting …</span>
  return <span class='link lost'><StateIcon state='critical' /> Reconnecting …</span>
}
