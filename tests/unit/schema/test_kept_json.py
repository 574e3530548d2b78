"""What is kept for each connection is small."""

import tracemalloc

from service.schema.samples import kept_json


def test_the_json_of_a_name_occupies_little_more_than_its_text():
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        kept = [kept_json(f"device-{i}") for i in range(100)]
        grown = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert kept[7] == b'"device-7"'
    assert grown < 100 * 150
