// How wide a part of the page is.
import { onScopeDispose, ref, watch, type Ref, type ShallowRef } from "vue";

/** Follow the width of an element, in pixels; `least` as long as it is not there. */
export function useWidth(element: Readonly<ShallowRef<HTMLElement | null>>, least: number): Readonly<Ref<number>> {
  const width = ref(least);
  const observer = new ResizeObserver(([entry]) => {
    width.value = Math.max(least, Math.floor(entry?.contentRect.width ?? 0));
  });
  watch(element, (now) => {
    observer.disconnect();
    if (now !== null) observer.observe(now);
  });
  onScopeDispose(() => observer.disconnect());
  return width;
}
