// A device of clients/js as a program: sends numbers from `first` on with a buffer file, prints each that was
// taken. `node device.mjs <package> <id> <buffer> <first> <url>…`
import { pathToFileURL } from "node:url";

const [, , folder, id, buffer, first, ...urls] = process.argv;
const { Device } = await import(pathToFileURL(`${folder}/dist/esm/index.js`));
const say = (word) => process.stdout.write(`${word}\n`);

let device;
try {
  device = await Device.open(urls, id, { buffer });
} catch (error) {
  say(error.code);
  process.exit(1);
}
device.command("add", ({ a, b }) => a + b);
device.command("hang", () => {
  say("hanging");
  return new Promise(() => {});
});
device.onSetup((setup, version) => {
  if (setup.bad) throw new Error("no");
  say(`setup ${version}`);
});
device.start();
let number = Number(first);
setInterval(() => {
  device.send({ n: number });
  say(number);
  number += 1;
}, 2);
