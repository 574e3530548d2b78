// Where a buffer is kept under Node.js: in a file.
import { BadBuffer } from "../errors.js";
import type { OpenStorage } from "./storage.js";

export const openStorage: OpenStorage = () => Promise.reject(new BadBuffer("not yet"));
