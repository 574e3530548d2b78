import { Fleet } from "muster-client";
import { onScopeDispose, shallowRef } from "vue";

/**
 * The fleet as Vue sees it: a snapshot that is replaced when something changed. Sessions in it that did not change are
 * the same objects as before, so their rows are not drawn again. It ends with the component, or with its scope.
 */
export function useFleet(urls, options) {
  const fleet = new Fleet(urls, options);
  const snapshot = shallowRef(fleet.getSnapshot());
  const leave = fleet.subscribe(() => (snapshot.value = fleet.getSnapshot()));
  fleet.start();
  onScopeDispose(() => {
    leave();
    void fleet.stop();
  });
  return snapshot;
}
