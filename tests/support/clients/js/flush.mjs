// Sends what a buffer has. `node flush.mjs <package> <id> <buffer> <url>…`
import { pathToFileURL } from "node:url";

const [, , folder, id, buffer, ...urls] = process.argv;
const { Device } = await import(pathToFileURL(`${folder}/dist/esm/index.js`));
const device = await Device.open(urls, id, { buffer });
device.start();
const isStored = await device.flush(60);
await device.stop();
process.exitCode = isStored ? 0 : 1;
