// The keyboard: what each key does, for the handler and for the page's own list of them.

export interface Shortcut {
  name: string
  keys: string
  /** `KeyboardEvent.code`, together with the modifiers; those without one are handled where they belong. */
  code?: string
  action?: Action
}

export type Action = 'new' | 'find' | 'write' | 'list' | 'live' | 'controls' | 'retry' | 'edit' | 'above' | 'below' | 'keys' | 'preferences' | 'undo'

const apple = /Mac|iPhone|iPad/.test(navigator.platform)
// With Option alone an Apple keyboard types characters that some languages need, such as @.
const alt = (key: string) => (apple ? `⌃⇧${key}` : `Alt ${key}`)

export const shortcuts: Shortcut[] = [
  { name: 'Send the message', keys: 'Enter' },
  { name: 'New line', keys: 'Shift Enter' },
  { name: 'Stop the answer, close what is open', keys: 'Esc' },
  { name: 'Move through the conversation', keys: 'Page ↑, Page ↓' },
  { name: 'Edit the last message', keys: `↑ in an empty field, or ${alt('E')}`, code: 'KeyE', action: 'edit' },
  { name: 'Try again', keys: alt('R'), code: 'KeyR', action: 'retry' },
  { name: 'New conversation', keys: alt('N'), code: 'KeyN', action: 'new' },
  { name: 'Find a conversation', keys: alt('K'), code: 'KeyK', action: 'find' },
  { name: 'Conversation above', keys: alt('↑'), code: 'ArrowUp', action: 'above' },
  { name: 'Conversation below', keys: alt('↓'), code: 'ArrowDown', action: 'below' },
  { name: 'To the message field', keys: alt('I'), code: 'KeyI', action: 'write' },
  { name: 'List of conversations', keys: alt('B'), code: 'KeyB', action: 'list' },
  { name: 'Live panel', keys: alt('L'), code: 'KeyL', action: 'live' },
  { name: 'Prompt and sampling', keys: alt('P'), code: 'KeyP', action: 'controls' },
  { name: 'Undo a deletion', keys: alt('Z'), code: 'KeyZ', action: 'undo' },
  { name: 'Preferences', keys: alt(','), code: 'Comma', action: 'preferences' },
  { name: 'Keyboard shortcuts', keys: alt('H'), code: 'KeyH', action: 'keys' },
]

export function actionOf(event: KeyboardEvent): Action | undefined {
  const { altKey, ctrlKey, shiftKey, metaKey } = event
  const meant = apple ? ctrlKey && shiftKey && !altKey : altKey && !ctrlKey && !shiftKey
  if (!meant || metaKey) return undefined
  return shortcuts.find((s) => s.code === event.code)?.action
}

export const keysFor = (action: Action) => shortcuts.find((s) => s.action === action)!.keys
