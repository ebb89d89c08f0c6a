// The official JavaScript clients against a real server with the demo model. BALEEN_URL names one that runs; without it, one is
// built and started.
import assert from 'node:assert/strict'
import { spawn, execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { after, before, test } from 'node:test'
import { fileURLToPath } from 'node:url'

import Anthropic from '@anthropic-ai/sdk'
import { createAnthropic } from '@ai-sdk/anthropic'
import { createOpenAI } from '@ai-sdk/openai'
import { createOpenAICompatible } from '@ai-sdk/openai-compatible'
import { generateText, jsonSchema, Output, streamText, tool } from 'ai'
import OpenAI from 'openai'

const whoSays = 'I am a tiny demo model. I can tell short stories and answer a few simple questions.'
const schema = {
  type: 'object',
  properties: { name: { type: 'string', maxLength: 8 }, age: { type: 'integer', minimum: 0, maximum: 150 } },
  required: ['name', 'age'],
  additionalProperties: false,
}
const question = [{ role: 'user', content: 'Who are you?' }]
const order = [{ role: 'user', content: 'Do it.' }]

function checkPerson(person) {
  assert.ok([...person.name].length <= 8 && Number.isInteger(person.age) && person.age >= 0 && person.age <= 150, JSON.stringify(person))
}

let url = process.env.BALEEN_URL
let server, folder, openai, anthropic

before(async () => {
  if (!url) {
    const root = join(dirname(fileURLToPath(import.meta.url)), '..', '..')
    folder = mkdtempSync(join(tmpdir(), 'baleen-clients-'))
    const program = join(folder, 'baleen')
    execFileSync('go', ['build', '-o', program, './cmd/baleen'], { cwd: root, stdio: 'inherit' })
    server = spawn(program, ['serve', 'demo', '--addr', '127.0.0.1:0', '--log-level', 'error'], { stdio: ['ignore', 'pipe', 'inherit'] })
    url = await new Promise((resolve, reject) => {
      server.stdout.on('data', (text) => {
        const found = /http:\/\/\S+/.exec(text)
        if (found) resolve(found[0])
      })
      server.on('exit', () => reject(new Error('the server did not start')))
    })
  }
  openai = new OpenAI({ baseURL: `${url}/v1`, apiKey: 'none', maxRetries: 0 })
  anthropic = new Anthropic({ baseURL: url, apiKey: 'none', maxRetries: 0 })
})

after(async () => {
  if (server) {
    const ended = new Promise((resolve) => server.on('exit', resolve))
    server.kill('SIGINT')
    await ended
    rmSync(folder, { recursive: true })
  }
})

test('openai: chat', async () => {
  const whole = await openai.chat.completions.create({ model: 'demo', messages: question, temperature: 0 })
  assert.equal(whole.choices[0].message.content, whoSays)
  const stream = await openai.chat.completions.create({ model: 'demo', messages: question, temperature: 0, stream: true, stream_options: { include_usage: true } })
  let text = ''
  let usage
  for await (const chunk of stream) {
    text += chunk.choices[0]?.delta.content ?? ''
    usage = chunk.usage ?? usage
  }
  assert.equal(text, whoSays)
  assert.equal(usage.total_tokens, whole.usage.total_tokens)
})

test('openai: tools', async () => {
  const request = {
    model: 'demo', messages: order, temperature: 0, tool_choice: 'required', parallel_tool_calls: false,
    tools: [{ type: 'function', function: { name: 'greet', parameters: schema, strict: true } }],
  }
  const runner = openai.chat.completions.stream(request)
  const message = (await runner.finalChatCompletion()).choices[0].message
  checkPerson(JSON.parse(message.tool_calls[0].function.arguments))
  const second = await openai.chat.completions.create({
    ...request, tool_choice: 'none', max_tokens: 5, messages: [...order, message, { role: 'tool', tool_call_id: message.tool_calls[0].id, content: 'done' }],
  })
  assert.ok(second.usage.prompt_tokens_details.cached_tokens > 0, 'the second turn reuses the first')
})

test('openai: json_schema', async () => {
  const whole = await openai.chat.completions.create({
    model: 'demo', messages: question, temperature: 0, response_format: { type: 'json_schema', json_schema: { name: 'person', schema, strict: true } },
  })
  checkPerson(JSON.parse(whole.choices[0].message.content))
})

test('openai: responses', async () => {
  const whole = await openai.responses.create({ model: 'demo', input: 'Who are you?', temperature: 0 })
  assert.equal(whole.output_text, whoSays)
  const stream = openai.responses.stream({
    model: 'demo', input: 'Do it.', temperature: 0, tool_choice: 'required', parallel_tool_calls: false,
    tools: [{ type: 'function', name: 'greet', parameters: schema, strict: true }],
  })
  const final = await stream.finalResponse()
  checkPerson(JSON.parse(final.output[0].arguments))
})

test('openai: an error says which field', async () => {
  await assert.rejects(openai.chat.completions.create({ model: 'demo', messages: question, temperature: 3 }), (e) => e.status === 400 && e.param === 'temperature')
})

test('anthropic: messages', async () => {
  const request = { model: 'claude-any', max_tokens: 100, messages: question, temperature: 0 }
  const whole = await anthropic.messages.create(request)
  assert.equal(whole.content[0].text, whoSays)
  const final = await anthropic.messages.stream(request).finalMessage()
  assert.equal(final.content[0].text, whoSays)
  assert.equal(final.stop_reason, 'end_turn')
  assert.ok((await anthropic.messages.countTokens({ model: 'x', messages: question })).input_tokens > 0)
})

test('anthropic: tools', async () => {
  const request = {
    model: 'claude-any', max_tokens: 300, messages: order, temperature: 0,
    tools: [{ name: 'greet', input_schema: schema }], tool_choice: { type: 'any', disable_parallel_tool_use: true },
  }
  const message = await anthropic.messages.stream(request).finalMessage()
  assert.equal(message.stop_reason, 'tool_use')
  checkPerson(message.content[0].input)
  const second = await anthropic.messages.create({
    ...request, max_tokens: 5, tool_choice: { type: 'none' },
    messages: [...order, { role: 'assistant', content: message.content }, { role: 'user', content: [{ type: 'tool_result', tool_use_id: message.content[0].id, content: 'done' }] }],
  })
  assert.ok(second.usage.cache_read_input_tokens > 0, 'the second turn reuses the first')
})

// This client takes bounds out of the schema of an answer: Anthropic's service knows none.
const checkUnbound = (person) => assert.deepEqual([typeof person.name, Number.isInteger(person.age)], ['string', true])

for (const [name, model, check = checkPerson] of [
  ['openai-compatible', () => createOpenAICompatible({ name: 'baleen', baseURL: `${url}/v1`, apiKey: 'none', includeUsage: true, supportsStructuredOutputs: true })('demo')],
  ['openai responses', () => createOpenAI({ baseURL: `${url}/v1`, apiKey: 'none' })('demo')],
  ['anthropic', () => createAnthropic({ baseURL: `${url}/v1`, apiKey: 'none' })('claude-sonnet-4-5'), checkUnbound],
]) {
  test(`ai sdk, ${name}: text, stream, tools, schema`, async () => {
    assert.equal((await generateText({ model: model(), prompt: 'Who are you?', temperature: 0, maxRetries: 0 })).text, whoSays)
    let text = ''
    const stream = streamText({ model: model(), prompt: 'Who are you?', temperature: 0, maxRetries: 0 })
    for await (const piece of stream.textStream) text += piece
    assert.equal(text, whoSays)
    assert.ok((await stream.usage).totalTokens > 0)
    const called = await generateText({
      model: model(), prompt: 'Do it.', temperature: 0, maxRetries: 0, toolChoice: 'required', maxOutputTokens: 400,
      tools: { greet: tool({ inputSchema: jsonSchema(schema) }) },
    })
    checkPerson(called.toolCalls[0].input)
    const structured = await generateText({ model: model(), prompt: 'Who?', temperature: 0, maxRetries: 0, output: Output.object({ schema: jsonSchema(schema) }) })
    check(structured.output)
  })
}
