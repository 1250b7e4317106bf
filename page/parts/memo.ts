/** A component that renders again only if one of its properties has changed. */
import { Component, type ComponentType, type VNode } from 'preact'

export function memo<P extends object> (render: (props: P) => VNode): ComponentType<P> {
  return class extends Component<P> {
    override shouldComponentUpdate (next: Readonly<P>): boolean {
      const [before, after] = [this.props as Record<string, unknown>, next as Record<string, unknown>]
      return Object.keys(after).some((name) => before[name] !== after[name])
    }

    override render (): VNode {
      return render(this.props)
    }
  }
}
