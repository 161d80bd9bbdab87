// A client of werift: offers to a gateway, and says what became of it, as JSON on one line.
//
// The stream is `flip`; what comes back is its own picture, upside down: dark below instead of above. werift has no
// codecs: ffmpeg encodes what is sent, and decodes what comes back.

import { spawn } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';

const FOLDER = new URL('../../target/clients/werift/node_modules/werift/', import.meta.url);
const { MediaStreamTrack, RTCPeerConnection, Vp8RtpPayload } = await import(new URL('lib/index.mjs', FOLDER));

const [WIDTH, HEIGHT] = [320, 240];
// Far more than a picture takes to come.
const PATIENCE_MS = 20_000;

const { values: options } = parseArgs({
  options: {
    url: { type: 'string' }, // where to offer
    bundle: { type: 'string', default: 'max-compat' }, // bundlePolicy: disable, max-compat, max-bundle
    audio: { type: 'boolean', default: false }, // offer a microphone, too
    data: { type: 'boolean', default: false }, // offer a data channel, too
  },
});

/** Ends with this program, however that ends. */
function ffmpeg(...args) {
  const program = spawn('ffmpeg', ['-hide_banner', '-loglevel', 'error', ...args], { stdio: ['pipe', 'pipe', 'inherit'] });
  process.on('exit', () => program.kill('SIGKILL'));
  return program;
}
process.on('SIGTERM', () => process.exit(1));

/** Dark above, bright below, at 30 fps: packets of VP8. */
async function camera(track) {
  const socket = createSocket('udp4', packet => track.writeRtp(packet));
  socket.bind(0, '127.0.0.1');
  await once(socket, 'listening');
  const picture = `color=white:s=${WIDTH}x${HEIGHT}:r=30,drawbox=w=${WIDTH}:h=${HEIGHT / 2}:color=black:t=fill`;
  // It cannot be asked for a keyframe: it sends two a second.
  const encoder = ['-c:v', 'libvpx', '-deadline', 'realtime', '-b:v', '500k', '-g', '15'];
  const to = ['-f', 'rtp', `rtp://127.0.0.1:${socket.address().port}?pkt_size=1200`];
  ffmpeg('-re', '-f', 'lavfi', '-i', picture, ...encoder, ...to);
  return socket;
}

/** Calls `shown` with each decoded picture's brightness, a byte for each pixel; `ask` asks for a keyframe. */
function screen(shown, ask) {
  // The whole of a file of VP8 has its length in its header; nobody looks.
  const header = Buffer.alloc(32);
  header.write('DKIF\0\0\x20\0VP80', 'latin1');
  header.writeUInt16LE(WIDTH, 12);
  header.writeUInt16LE(HEIGHT, 14);
  header.writeUInt32LE(90_000, 16);
  header.writeUInt32LE(1, 20);
  const low = ['-probesize', '32', '-fflags', 'nobuffer', '-flags', 'low_delay'];
  const raw = ['-f', 'rawvideo', '-pix_fmt', 'gray', '-s', `${WIDTH}x${HEIGHT}`, '-fps_mode', 'passthrough'];
  const decoder = ffmpeg(...low, '-f', 'ivf', '-i', 'pipe:0', ...raw, 'pipe:1');
  decoder.stdin.on('error', () => {});
  decoder.stdin.write(header);
  let pixels = Buffer.alloc(0);
  decoder.stdout.on('data', more => {
    pixels = Buffer.concat([pixels, more]);
    for (; pixels.length >= WIDTH * HEIGHT; pixels = pixels.subarray(WIDTH * HEIGHT)) {
      shown(pixels.subarray(0, WIDTH * HEIGHT));
    }
  });
  let [frame, started, last, asked] = [[], false, null, 0];
  const take = ({ header: { marker, timestamp, sequenceNumber, ssrc }, payload }) => {
    // A frame with a gap is of no use, nor those after it.
    if (last !== null && sequenceNumber !== ((last + 1) & 0xffff)) [frame, started] = [[], false];
    last = sequenceNumber;
    if (!started && performance.now() - asked > 500) {
      asked = performance.now();
      ask(ssrc);
    }
    frame.push(Vp8RtpPayload.deSerialize(payload));
    if (!marker) return;
    started ||= frame[0].isKeyframe;
    const data = Buffer.concat(frame.map(part => part.payload));
    frame = [];
    if (!started) return;
    const head = Buffer.alloc(12);
    head.writeUInt32LE(data.length, 0);
    head.writeBigUInt64LE(BigInt(timestamp), 4);
    decoder.stdin.write(Buffer.concat([head, data]));
  };
  return take;
}

const mean = bytes => bytes.reduce((sum, byte) => sum + byte, 0) / bytes.length;

function isFlipped(pixels) {
  const quarter = (WIDTH * HEIGHT) / 4;
  return mean(pixels.subarray(0, quarter)) > 150 && mean(pixels.subarray(3 * quarter)) < 100;
}

const said = { version: JSON.parse(readFileSync(new URL('package.json', FOLDER))).version, pictures: 0 };
const connection = new RTCPeerConnection({ bundlePolicy: options.bundle, iceServers: [] });
const track = new MediaStreamTrack({ kind: 'video' });
const socket = await camera(track);
if (options.audio) connection.addTransceiver(new MediaStreamTrack({ kind: 'audio' }), { direction: 'sendrecv' });
const transceiver = connection.addTransceiver(track, { direction: 'sendrecv' });
if (options.data) connection.createDataChannel('text');

let began;
let enough;
const done = new Promise(resolve => { enough = resolve; });
const ask = ssrc => transceiver.receiver.sendRtcpPLI(ssrc);
const take = screen(pixels => {
  if (!isFlipped(pixels)) return;
  said.first_picture_ms ??= Math.round(10 * (performance.now() - began)) / 10;
  said.pictures += 1;
  if (said.pictures >= 30) enough();
}, ask);
connection.onTrack.subscribe(theirs => theirs.kind === 'video' && theirs.onReceiveRtp.subscribe(take));

await connection.setLocalDescription(await connection.createOffer());
began = performance.now();
const { sdp, type } = connection.localDescription;
const response = await fetch(options.url, {
  method: 'POST',
  headers: { 'content-type': 'application/json' },
  body: JSON.stringify({ sdp, type, webrtc_id: randomUUID() }),
});
const answer = await response.json();
if (answer.type === 'answer') {
  await connection.setRemoteDescription(answer);
  setTimeout(enough, PATIENCE_MS);
  await done;
} else {
  said.refused = answer;
}
said.state = connection.connectionState;
console.log(JSON.stringify(said));
await connection.close();
socket.close();
process.exit();
