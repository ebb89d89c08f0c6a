// Icons of one stroke, drawn on a grid of 20.

const paths = {
  list: 'M3 5.5h14M3 10h14M3 14.5h9',
  close: 'M5 5l10 10M15 5L5 15',
  add: 'M10 4v12M4 10h12',
  send: 'M10 16V4.5M5 9l5-5 5 5',
  copy: 'M7 7V4h9v9h-3M4 7h9v9H4z',
  done: 'M4.5 10.5l3.5 3.5 7.5-8',
  edit: 'M4 16l.8-3.4L13 4.4l2.6 2.6-8.2 8.2zM11.3 6.1l2.6 2.6',
  retry: 'M15.5 8A6 6 0 1 0 16 11M16 4v4h-4',
  branch: 'M6 4v12M6 12c0-4 8-2 8-7M12 7l2-2.5L16 7',
  delete: 'M4 6h12M8 6V4h4v2M6 6l.7 10h6.6L14 6',
  export: 'M10 3.5v9M6.5 9l3.5 3.5L13.5 9M4 16h12',
  import: 'M10 12.5v-9M6.5 7L10 3.5 13.5 7M4 16h12',
  back: 'M12 5l-5 5 5 5',
  next: 'M8 5l5 5-5 5',
  down: 'M10 4v11M5 10.5l5 5 5-5',
  find: 'M9 4a5 5 0 1 0 0 10A5 5 0 0 0 9 4zM12.8 12.8L16.5 16.5',
  tool: 'M12.5 4.2a3.6 3.6 0 0 0-4.3 4.9L3.8 13.5a1.9 1.9 0 0 0 2.7 2.7l4.4-4.4a3.6 3.6 0 0 0 4.9-4.3l-2.3 2.3-2.6-.7-.7-2.6z',
  sliders: 'M3 6h7M14 6h3M3 14h3M10 14h7M10 6a2 2 0 1 0 4 0 2 2 0 0 0-4 0zM6 14a2 2 0 1 0 4 0 2 2 0 0 0-4 0z',
  keys: 'M3 5.5h14v9H3zM6 8.5h.01M9 8.5h.01M12 8.5h.01M14.5 8.5h.01M6.5 11.7h7',
  person: 'M10 4a3 3 0 1 0 0 6 3 3 0 0 0 0-6zM4.5 16c.6-3 2.8-4 5.5-4s4.9 1 5.5 4',
} as const

export type IconName = keyof typeof paths | 'stop'

export function Icon({ name }: { name: IconName }) {
  return (
    <svg class="icon" viewBox="0 0 20 20" width="20" height="20" aria-hidden="true" focusable="false">
      {name === 'stop' ? (
        <rect x="5.5" y="5.5" width="9" height="9" rx="1.5" fill="currentColor" />
      ) : (
        <path d={paths[name]} fill="none" stroke="currentColor" stroke-width="1.5" stroke-linecap="round" stroke-linejoin="round" />
      )}
    </svg>
  )
}

/** The mark: a whale’s upper jaw from the side, with its plates. */
export function Mark({ size }: { size: number }) {
  return (
    <svg viewBox="0 0 32 32" width={size} height={size} aria-hidden="true" focusable="false">
      <path
        d="M3 18C7 10 17 6 29 8M8 13.6v7M12.2 10.8v13M16.4 9.2v16M20.6 8.3v17M24.8 7.9v16.5M29 8v14"
        fill="none"
        stroke="currentColor"
        stroke-width={size > 40 ? 1.6 : 2}
        stroke-linecap="round"
      />
    </svg>
  )
}
