import { useEffect, useReducer } from 'preact/hooks'

/** A value that says when it changes. */
export class Cell<T> {
  #value: T
  #listeners = new Set<() => void>()

  constructor(value: T) {
    this.#value = value
  }

  get value(): T {
    return this.#value
  }

  set(value: T): void {
    if (Object.is(value, this.#value)) return
    this.#value = value
    for (const listener of [...this.#listeners]) listener()
  }

  subscribe(listener: () => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }
}

/** The cell's value; the component is drawn anew when it changes. */
export function useCell<T>(cell: Cell<T>): T {
  const [, draw] = useReducer((n: number) => n + 1, 0)
  const drawn = cell.value
  useEffect(() => {
    if (!Object.is(cell.value, drawn)) draw(undefined) // it changed between drawing and here
    return cell.subscribe(() => draw(undefined))
  }, [cell])
  return drawn
}
