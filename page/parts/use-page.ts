/** The model of the page, for every view. The whole page renders again when it changes. */
import { createContext } from 'preact'
import { useContext } from 'preact/hooks'
import type { PageModel } from '../live/page-model.js'

export const PageContext = createContext<PageModel | null>(null)

export function usePage (): PageModel {
  const page = useContext(PageContext)
  if (page === null) throw new Error('there is no page')
  return page
}
