// A device that loses nothing: its samples are in a file until they are stored, whatever happens to it or to the nodes.
//
//     npm install muster-client        (here: npm install ./clients/js)
//     node examples/device.mjs http://127.0.0.1:5000,http://127.0.0.1:5001 kiosk-8
import { cpus, hostname, loadavg, platform, uptime } from "node:os";
import { Device } from "muster-client";

const [urls = "http://127.0.0.1:5000", deviceId = hostname(), seconds = "5"] = process.argv.slice(2);
let intervalS = Number(seconds);

const device = await Device.open(urls.split(","), deviceId, {
  buffer: `${deviceId}.buffer`,
  token: process.env.MUSTER_TOKEN,
  meta: { model: "example" },
  onState: (state, why) => console.log(state, why),
});
device.command("describe", () => ({ system: platform(), cpus: cpus().length }));
device.onSetup((setup) => {
  if (setup?.interval_s > 0) intervalS = setup.interval_s;
});
device.start();

let isStopping = false;
let wake = () => {};
for (const signal of ["SIGINT", "SIGTERM"]) {
  process.once(signal, () => {
    isStopping = true;
    wake();
  });
}
while (!isStopping && device.state !== "ended") {
  await device.send({ load: loadavg()[0], uptime_s: uptime() });
  console.log("not stored yet:", device.unacked);
  await new Promise((resolve) => {
    wake = resolve;
    setTimeout(resolve, intervalS * 1000);
  });
}
console.log("all stored:", await device.flush(5));
await device.stop();
process.exit(0);
