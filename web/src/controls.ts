// The system prompt and the sampling of a conversation, as typed. An empty field is not sent: the server's own value holds.

export interface Controls {
  system: string
  effort: string
  temperature: string
  topP: string
  maxTokens: string
  seed: string
  tools: string
}

export const emptyControls: Controls = { system: '', effort: '', temperature: '', topP: '', maxTokens: '', seed: '', tools: '' }

export const efforts = [
  { value: '', name: 'Model’s own' },
  { value: 'none', name: 'Off' },
  { value: 'low', name: 'Low' },
  { value: 'high', name: 'High' },
  { value: 'max', name: 'Maximum' },
]

/** What is wrong with each field, in words; a field without an entry is right. */
export type Faults = Partial<Record<keyof Controls, string>>

export function faults(c: Controls): Faults {
  const found: Faults = {}
  if (!within(c.temperature, 0, 2)) found.temperature = 'A number from 0 to 2.'
  if (!within(c.topP, 0, 1) || Number(c.topP || 1) === 0) found.topP = 'A number above 0, up to 1.'
  if (!whole(c.maxTokens, 1)) found.maxTokens = 'A whole number from 1.'
  if (!whole(c.seed, 0)) found.seed = 'A whole number from 0.'
  try {
    readTools(c.tools)
  } catch (e) {
    found.tools = (e as Error).message
  }
  return found
}

const within = (s: string, low: number, high: number) => s.trim() === '' || (Number(s) >= low && Number(s) <= high)

const whole = (s: string, low: number) => s.trim() === '' || (Number.isSafeInteger(Number(s)) && Number(s) >= low)

/** The tools of a request. Takes a list of tools, or of bare functions, or a single one of either. */
export function readTools(text: string): object[] {
  if (text.trim() === '') return []
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    throw new Error('Not JSON yet.')
  }
  return (Array.isArray(value) ? value : [value]).map((tool) => {
    const f = tool?.function ?? tool
    if (typeof f?.name !== 'string' || f.name === '') throw new Error('Each tool needs a name.')
    return { type: 'function', function: f }
  })
}

/** The fields of a request that the controls ask for. A field with a fault is left out; the page shows the fault. */
export function requestFields(c: Controls): Record<string, unknown> {
  const wrong = faults(c)
  const fields: Record<string, unknown> = {}
  const put = (control: keyof Controls, field: string) => {
    if (c[control].trim() !== '' && !wrong[control]) fields[field] = Number(c[control])
  }
  put('temperature', 'temperature')
  put('topP', 'top_p')
  put('maxTokens', 'max_tokens')
  put('seed', 'seed')
  if (c.effort === 'none') fields.thinking = { type: 'disabled' }
  else if (c.effort !== '') Object.assign(fields, { thinking: { type: 'enabled' }, reasoning_effort: c.effort })
  const tools = wrong.tools ? [] : readTools(c.tools)
  if (tools.length) fields.tools = tools
  return fields
}

/** Reads controls from a file or from what an older page left; what is missing is empty. */
export function readControls(value: unknown): Controls {
  const read = { ...emptyControls }
  if (typeof value !== 'object' || value === null) return read
  for (const key of Object.keys(read) as (keyof Controls)[]) {
    const v = (value as Record<string, unknown>)[key]
    if (typeof v === 'string') read[key] = v
  }
  return read
}

/** What a new conversation begins with: how to sample goes on; what was to be done, and what was wrong, does not. */
export function lasting(c: Controls): Controls {
  const wrong = faults(c)
  const kept = { ...c, system: '', tools: '' }
  for (const key of Object.keys(wrong) as (keyof Controls)[]) kept[key] = ''
  return kept
}
