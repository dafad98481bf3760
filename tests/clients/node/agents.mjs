// The stock `@openai/agents-realtime`: a RealtimeSession over its WebSocket transport.

import { OpenAIRealtimeWebSocket, RealtimeAgent, RealtimeSession, tool } from '@openai/agents-realtime';
import { z } from 'zod';

import { LONG, WEATHER, key, recording, run, wssUrl } from './mesh.mjs';
// Not among its exports, so taken by its path: what it parses every frame with.
import { parseRealtimeEvent } from './node_modules/@openai/agents-realtime/dist/openaiRealtimeEvents.mjs';

const QUESTION = 'what_time_is_it_in_london_today';

async function connect(log, { tools = [], config = {}, model, apiKey = key } = {}) {
  const agent = new RealtimeAgent({ name: 'tester', instructions: 'Answer briefly.', tools });
  const transport = new OpenAIRealtimeWebSocket();
  const session = new RealtimeSession(agent, { transport, model, config });
  session.on('transport_event', (event) => {
    const { isGeneric } = parseRealtimeEvent({ data: JSON.stringify(event) });
    log.event(event);
    if (isGeneric) log.tell('not understood', event.type);
  });
  session.on('error', ({ error }) => log.tell('error', error?.error ?? String(error)));
  session.on('audio', (audio) => log.tell('audio', audio.data.byteLength));
  session.on('audio_interrupted', () => log.tell('audio_interrupted', null));
  session.on('history_updated', (history) => log.tell('history', history));
  session.on('agent_end', (context, agent, text) => log.tell('agent_end', text));
  session.on('agent_tool_end', (context, agent, tool, result) => log.tell('tool_end', result));
  transport.on('connection_change', (status) => {
    log.tell('connection', status);
    if (status === 'disconnected') log.end();
  });
  await session.connect({ apiKey, url: `${wssUrl}?model=${model ?? transport.currentModel}` });
  return session;
}

// Its first update sets the session up, its second turns tracing on.
async function ready(log, options) {
  const session = await connect(log, options);
  await log.until('session.updated');
  await log.until('session.updated');
  return session;
}

async function end(session, log) {
  session.close();
  await log.told('connection', (status) => status === 'disconnected');
}

function speak(session, name) {
  for (const frame of recording(name)) {
    session.sendAudio(frame.buffer.slice(frame.byteOffset, frame.byteOffset + frame.length));
  }
}

await run({
  async text(log) {
    const session = await ready(log, { config: { outputModalities: ['text'] } });
    session.sendMessage('what is twelve plus thirty');
    await log.told('agent_end');
    await end(session, log);
  },

  async spoken(log) {
    const session = await ready(log);
    speak(session, QUESTION);
    await log.told('agent_end');
    await end(session, log);
  },

  async barge_in(log) {
    const session = await ready(log);
    session.sendMessage(LONG);
    await log.told('audio');
    speak(session, QUESTION);
    await log.until('response.done');
    await log.until('response.done');
    await end(session, log);
  },

  async tool(log) {
    const weather = tool({
      ...WEATHER,
      parameters: z.object({ location: z.string() }),
      execute: ({ location }) => {
        log.tell('call', { name: WEATHER.name, arguments: { location } });
        return JSON.stringify({ sky: 'sunny' });
      },
    });
    const session = await ready(log, { tools: [weather] });
    speak(session, 'what_is_the_weather_in_paris');
    await log.until('response.done');
    await log.until('response.done');
    await end(session, log);
  },

  async cancel(log) {
    const session = await ready(log);
    session.sendMessage(LONG);
    await log.told('audio');
    session.interrupt();
    await log.until('response.done');
    await log.until('conversation.item.retrieved');
    await end(session, log);
  },

  async transcription(log) {
    const session = await ready(log);
    speak(session, QUESTION);
    const heard = (item) => item.content?.some(({ transcript }) => transcript);
    await log.told('history', (items) => items.some((i) => i.role === 'user' && heard(i)));
    await log.until('response.done');
    await end(session, log);
  },

  async bad_event(log) {
    const session = await ready(log, { config: { outputModalities: ['text'] } });
    session.transport.sendEvent({ type: 'no.such.event', event_id: 'mine' });
    await log.told('error');
    session.sendMessage('what is twelve plus thirty');
    await log.told('agent_end');
    await end(session, log);
  },

  async unknown_model(log) {
    await connect(log, { model: 'no-such-model' }).catch(() => {});
    await log.told('connection', (status) => status === 'disconnected');
  },

  async wrong_key(log) {
    await connect(log, { apiKey: 'sk-wrong' }).catch(() => {});
    await log.told('connection', (status) => status === 'disconnected');
  },
});
