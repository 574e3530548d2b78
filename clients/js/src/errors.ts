// Errors of the package and of the service.

/** What the service says about an error; there may be more fields. */
export interface ErrorBody {
  code?: string;
  message?: string;
  retryable?: boolean;
  retry_after_s?: number;
  [field: string]: unknown;
}

/** Base of all errors of this package; `code` tells them apart. */
export class MusterError extends Error {
  readonly code: string;

  constructor(code: string, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = new.target.name;
    this.code = code;
  }
}

/** The connection ended, or could not be made; whether a request took effect is not known. */
export class NotConnected extends MusterError {
  constructor(message: string, options?: ErrorOptions) {
    super("not_connected", message, options);
  }
}

/** The service would never take this sample; the message names its key and says why. */
export class InvalidSample extends MusterError {
  constructor(message: string) {
    super("invalid_sample", message);
  }
}

/** Another process, tab or device has the buffer. */
export class BufferInUse extends MusterError {
  constructor(message: string) {
    super("buffer_in_use", message);
  }
}

/** A buffer cannot be read or written. */
export class BadBuffer extends MusterError {
  constructor(message: string, options?: ErrorOptions) {
    super("bad_buffer", message, options);
  }
}

/** The service answered with an error; its `code` is one that docs/protocol.md lists. */
export class Refused extends MusterError {
  /** Whether the same request may succeed later. */
  readonly retryable: boolean;
  /** When; undefined: the service did not say. */
  readonly retryAfterS: number | undefined;
  /** All fields of the error. */
  readonly details: ErrorBody;

  constructor(error: ErrorBody) {
    const code = String(error.code ?? "internal");
    super(code, `${code}: ${error.message ?? ""}`);
    this.retryable = error.retryable === true;
    this.retryAfterS = seconds(error.retry_after_s);
    this.details = error;
  }
}

/** A setup has another version by now. */
export class Conflict extends Refused {
  /** The present one. */
  readonly version: number | undefined;

  constructor(error: ErrorBody, version: number | undefined) {
    super(error);
    this.version = version;
  }
}

/** Return a number of seconds that came from elsewhere; undefined: it is none. */
export function seconds(value: unknown): number | undefined {
  return typeof value === "number" && Number.isFinite(value) && value >= 0 ? value : undefined;
}

/** Return what an error says, whatever was thrown. */
export function words(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
