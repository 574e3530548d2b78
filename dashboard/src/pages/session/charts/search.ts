// Binary search in what is in order.

/** Return the index of the first of `length` items that is not below `value`; `at`: returns an item. */
export function firstFrom(length: number, value: number, at: (index: number) => number): number {
  let [low, high] = [0, length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (at(middle) < value) low = middle + 1;
    else high = middle;
  }
  return low;
}
