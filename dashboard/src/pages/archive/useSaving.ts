// Saving a file of the archive, or the command line for one that is too large for a page.
import { ref, type Ref } from "vue";
import { FileTooLarge, saveBlob } from "@/client/files";
import { useToasts } from "@/stores/toasts";

export interface Saving {
  /** What is being fetched. */
  readonly busy: Readonly<Ref<string | undefined>>;
  /** The command line that fetches what was too large; undefined: nothing was. */
  readonly curl: Ref<string | undefined>;
  readonly save: (id: string, name: string, fetch: () => Promise<Blob>) => Promise<void>;
}

export function useSaving(): Saving {
  const toasts = useToasts();
  const busy = ref<string>();
  const curl = ref<string>();

  async function save(id: string, name: string, fetch: () => Promise<Blob>): Promise<void> {
    busy.value = id;
    try {
      saveBlob(await fetch(), name);
    } catch (error) {
      if (error instanceof FileTooLarge) curl.value = error.curl;
      else toasts.failed(`${name} could not be fetched`, error, "read");
    }
    busy.value = undefined;
  }

  return { busy, curl, save };
}
