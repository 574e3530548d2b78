// An MQTT broker on a free port, which it prints. It ends with its stdin.
const { createServer } = require("node:net");
const { Aedes } = require("aedes");

Aedes.createBroker().then((broker) => {
  const server = createServer(broker.handle);
  server.listen(0, "127.0.0.1", () => console.log(server.address().port));
});
process.stdin.resume().on("end", () => process.exit(0));
