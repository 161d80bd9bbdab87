// Takes offers of werift for this folder (scripts/clients.sh installs it):
//
//     node tests/corpus/offers/capture_werift.mjs
//
// Each becomes werift-SCENE.sdp here.

import { writeFileSync } from 'node:fs';

const { MediaStreamTrack, RTCPeerConnection } = await import('../../../target/clients/werift/node_modules/werift/lib/index.mjs');

/** As `without_addresses` of capture.py. */
function withoutAddresses(sdp) {
  return sdp
    .replace(/\b(?!0\.0\.0\.0|127\.0\.0\.1)\d{1,3}(\.\d{1,3}){3}\b/g, '192.0.2.123')
    .replace(/^(?:o=|c=|a=rtcp:|a=candidate:).*$/gm, (line) =>
      line.replace(/(?<= )(?!::1?(?:\s|$))[0-9a-fA-F]*:[0-9a-fA-F]*:[0-9a-fA-F:.]*(?=\s|$)/g, '2001:db8:1234:5678:9abc:def0:1234:5678'),
    );
}

for (const bundlePolicy of ['disable', 'max-compat', 'max-bundle']) {
  for (const more of ['', '-audio-data']) {
    const connection = new RTCPeerConnection({ bundlePolicy, iceServers: [] });
    if (more) connection.addTransceiver(new MediaStreamTrack({ kind: 'audio' }), { direction: 'sendrecv' });
    connection.addTransceiver(new MediaStreamTrack({ kind: 'video' }), { direction: 'sendrecv' });
    if (more) connection.createDataChannel('text');
    await connection.setLocalDescription(await connection.createOffer());
    writeFileSync(
      new URL(`werift-${bundlePolicy}-video${more}.sdp`, import.meta.url),
      withoutAddresses(connection.localDescription.sdp),
    );
    await connection.close();
  }
}
process.exit();
