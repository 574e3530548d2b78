import { onScopeDispose, readonly, ref, type Ref } from "vue";

/** Return whether a media query holds, as it changes. */
export function useMediaQuery(query: string): Readonly<Ref<boolean>> {
  const list = matchMedia(query);
  const isSo = ref(list.matches);
  const look = (): void => void (isSo.value = list.matches);
  list.addEventListener("change", look);
  onScopeDispose(() => list.removeEventListener("change", look));
  return readonly(isSo);
}
