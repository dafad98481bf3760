// What both clients' programs share. A program is told by its environment where the mesh is,
// runs its scenarios one after the other, and prints JSON lines that pytest reads:
//   {scenario, event}    every frame of the server, as the SDK delivered it
//   {scenario, told}     what else the SDK told its user: errors, history, tool calls
//   {scenario, failed}   the scenario threw

import { readFileSync } from 'node:fs';

const WAIT_MS = 30_000; // far above what anything takes
const FRAME_BYTES = 960; // 20 ms of PCM16 at 24 kHz
const WAV_HEADER_BYTES = 44;

export const httpsUrl = process.env.MESH_URL;
export const wssUrl = httpsUrl.replace('https', 'wss') + '/v1/realtime';
export const key = process.env.MESH_KEY;

export const LONG = 'one two three four five six seven '.repeat(12);
export const WEATHER = {
  name: 'get_weather',
  description: 'Tells the weather at a place.',
};

// The frames of a recording of tests/data, PCM16 LE mono 24 kHz.
export function recording(name) {
  const wav = readFileSync(`${process.env.MESH_DATA}/${name}.wav`).subarray(WAV_HEADER_BYTES);
  const frames = [];
  for (let at = 0; at < wav.length; at += FRAME_BYTES) {
    frames.push(wav.subarray(at, at + FRAME_BYTES));
  }
  return frames;
}

function print(line) {
  process.stdout.write(JSON.stringify(line) + '\n');
}

// One scenario's events, and waiting for them.
export class Log {
  #scenario;
  #waiters = [];
  events = [];
  tolds = [];
  #read = 0; // `until` looks at each event once
  #ended = false;

  constructor(scenario) {
    this.#scenario = scenario;
  }

  event(event) {
    print({ scenario: this.#scenario, event });
    this.events.push(event);
    this.#wake();
  }

  tell(kind, what) {
    print({ scenario: this.#scenario, told: { kind, what } });
    this.tolds.push({ kind, what });
    this.#wake();
  }

  // The connection has closed: nobody need wait any longer.
  end() {
    this.#ended = true;
    this.#wake();
  }

  // The next event of one of these types.
  async until(...types) {
    return this.#wait(types.join(' or '), () => {
      while (this.#read < this.events.length) {
        const event = this.events[this.#read++];
        if (types.includes(event.type)) return event;
      }
    });
  }

  // The first thing of that kind that the SDK tells, or has told.
  async told(kind, fits = () => true) {
    const wanted = (told) => told.kind === kind && fits(told.what);
    return this.#wait(kind, () => this.tolds.find(wanted));
  }

  #wake() {
    const waiters = this.#waiters;
    this.#waiters = [];
    waiters.forEach((wake) => wake());
  }

  async #wait(what, look) {
    const deadline = Date.now() + WAIT_MS;
    for (;;) {
      const found = look();
      if (found !== undefined) return found;
      const left = deadline - Date.now();
      if (this.#ended || left <= 0) throw new Error(`waited in vain for ${what}`);
      let timer;
      await Promise.race([
        new Promise((wake) => this.#waiters.push(wake)),
        new Promise((wake) => (timer = setTimeout(wake, left))),
      ]);
      clearTimeout(timer);
    }
  }
}

export async function run(scenarios) {
  for (const [name, scenario] of Object.entries(scenarios)) {
    const log = new Log(name);
    try {
      await scenario(log);
    } catch (error) {
      print({ scenario: name, failed: String(error?.stack ?? error) });
    }
  }
  process.exit(0); // a client that keeps a timer would keep us
}
