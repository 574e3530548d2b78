// Where a buffer is kept under Node.js.
export { openFile as openStorage } from "./file.js";
