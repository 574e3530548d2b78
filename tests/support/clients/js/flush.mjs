// Sends what a buffer has. `node flush.mjs <package> <id> <buffer> <url>…`
import { pathToFileURL } from "node:url";

const [, , folder, id, buffer, ...urls] = process.argv;
const { Device } = await import(pathToFileURL(`${folder}/dist/esm/index.js`));
const say = (...words) => console.error((performance.now() / 1000).toFixed(2), ...words); // for who sees it fail
const device = await Device.open(urls, id, { buffer, onState: say });
say("opened", device.unacked);
device.start();
const isStored = await device.flush(60);
say("flushed", isStored, device.unacked);
await device.stop();
say("stopped");
process.exitCode = isStored ? 0 : 1;
