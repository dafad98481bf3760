// The stock `openai` package for Node. Its WebSocket is always wss.

import { OpenAI } from 'openai';
import { OpenAIRealtimeWS } from 'openai/realtime/ws';

import { LONG, WEATHER, httpsUrl, key, recording, run } from './mesh.mjs';

const QUESTION = 'what_time_is_it_in_london_today';
const TRANSCRIBED = {
  type: 'realtime',
  audio: { input: { transcription: { model: 'whisper-1' } } },
};

function connect(log, { props = { model: 'gpt-realtime' }, apiKey = key } = {}) {
  const client = new OpenAI({ baseURL: `${httpsUrl}/v1`, apiKey });
  const rt = new OpenAIRealtimeWS(props, client);
  rt.on('event', (event) => log.event(event));
  rt.on('error', (error) => {
    log.tell('error', { message: error.message, error: error.error ?? null });
  });
  rt.socket.on('close', (code, reason) => {
    log.tell('close', { code, reason: reason.toString() });
    log.end();
  });
  return rt;
}

async function session(log, update, options) {
  const rt = connect(log, options);
  await log.until('session.created');
  if (update) {
    rt.send({ type: 'session.update', session: update });
    await log.until('session.updated');
  }
  return rt;
}

async function end(rt, log) {
  rt.close();
  await log.told('close');
}

function say(rt, text) {
  const content = [{ type: 'input_text', text }];
  rt.send({ type: 'conversation.item.create', item: { type: 'message', role: 'user', content } });
  rt.send({ type: 'response.create' });
}

function speak(rt, name) {
  for (const frame of recording(name)) {
    rt.send({ type: 'input_audio_buffer.append', audio: frame.toString('base64') });
  }
}

await run({
  async text(log) {
    const rt = await session(log, { type: 'realtime', output_modalities: ['text'] });
    say(rt, 'what is twelve plus thirty');
    await log.until('response.done');
    await end(rt, log);
  },

  async spoken(log) {
    const rt = await session(log, TRANSCRIBED);
    speak(rt, QUESTION);
    await log.until('response.done');
    await end(rt, log);
  },

  async barge_in(log) {
    const rt = await session(log, TRANSCRIBED);
    say(rt, LONG);
    const first = await log.until('response.output_audio.delta');
    speak(rt, QUESTION);
    await log.until('response.done');
    rt.send({
      type: 'conversation.item.truncate',
      item_id: first.item_id,
      content_index: 0,
      audio_end_ms: 100,
    });
    await log.until('conversation.item.truncated');
    await log.until('response.done');
    await end(rt, log);
  },

  async tool(log) {
    const parameters = {
      type: 'object',
      properties: { location: { type: 'string' } },
      required: ['location'],
    };
    const tools = [{ type: 'function', ...WEATHER, parameters }];
    const rt = await session(log, { ...TRANSCRIBED, tools });
    speak(rt, 'what_is_the_weather_in_paris');
    const { response } = await log.until('response.done');
    const [call] = response.output;
    log.tell('call', { name: call.name, arguments: JSON.parse(call.arguments) });
    const output = JSON.stringify({ sky: 'sunny' });
    rt.send({
      type: 'conversation.item.create',
      item: { type: 'function_call_output', call_id: call.call_id, output },
    });
    rt.send({ type: 'response.create' });
    await log.until('response.done');
    await end(rt, log);
  },

  async cancel(log) {
    const rt = await session(log);
    say(rt, LONG);
    await log.until('response.output_audio.delta');
    rt.send({ type: 'response.cancel' });
    await log.until('response.done');
    rt.send({ type: 'response.cancel', event_id: 'mine' });
    await log.until('error');
    await end(rt, log);
  },

  async transcription(log) {
    const rt = await session(
      log,
      { type: 'transcription', audio: { input: { transcription: { model: 'whisper-1' } } } },
      { props: { intent: 'transcription' } },
    );
    speak(rt, QUESTION);
    await log.until('conversation.item.input_audio_transcription.completed');
    await end(rt, log);
  },

  async bad_event(log) {
    const rt = await session(log);
    rt.send({ type: 'no.such.event', event_id: 'mine' });
    await log.until('error');
    say(rt, 'what is twelve plus thirty');
    await log.until('response.done');
    await end(rt, log);
  },

  async unknown_model(log) {
    connect(log, { props: { model: 'no-such-model' } });
    await log.told('close');
  },

  async wrong_key(log) {
    connect(log, { apiKey: 'sk-wrong' });
    await log.told('close');
  },
});
