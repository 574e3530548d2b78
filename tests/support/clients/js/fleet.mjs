// Watches a fleet until the number 299 was seen; prints `live`, `seen 50`, then what it saw.
// `node fleet.mjs <package> <url>…`
import { pathToFileURL } from "node:url";

const [, , folder, ...urls] = process.argv;
const { Fleet } = await import(pathToFileURL(`${folder}/dist/esm/index.js`));
const fleet = new Fleet(urls);
const seen = [];
const states = [];
let isSame = true;
fleet.subscribe((changes) => {
  isSame &&= fleet.getSnapshot() === fleet.getSnapshot();
  for (const { kind, state, samples = [] } of changes) {
    if (kind === "state") states.push(state);
    for (const [, value] of samples) {
      seen.push(value);
      if (seen.length === 50) console.log("seen 50");
    }
  }
  if (seen.includes(299)) console.log(JSON.stringify({ seen, states, isSame }));
});
fleet.start();
await fleet.waitLive(20);
console.log("live");
