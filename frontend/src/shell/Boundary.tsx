import { Component, type ReactNode } from "react";

type Props = { instead: (error: unknown) => ReactNode; children: ReactNode };

/** What is shown `instead` of the children where drawing them fails. */
export class Boundary extends Component<Props, { error?: unknown }> {
  override state: { error?: unknown } = {};
  static getDerivedStateFromError = (error: unknown) => ({ error });
  override render = () => ("error" in this.state ? this.props.instead(this.state.error) : this.props.children);
}
