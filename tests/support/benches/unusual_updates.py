"""What devices send that is unusual, and a little that is usual: texts, frames, and states of a socket."""

from __future__ import annotations

from typing import Any

from service.protocol import frames
from service.sockets.rate_limits import Limits

KEY = b"\x11\x22\x33\x44"
PLAIN = b'["update_data",{"device_id":"device-00001","key":"speed","value":{"t":1764447013123456,"v":7}}]'

VALUES = [
    *(b"0", b"-0", b"-1", b"-0.0", b"0.0", b"0.00", b"1.0", b"1.50", b"21.5", b"-12.25", b"100.0"),
    *(
        b"1e5",
        b"1E5",
        b"1e-7",
        b"1e400",
        b"-1E400",
        b"0.001",
        b"0.0001",
        b"0.00001",
        b"0.000100",
        b"0.000001",
        b"0.00001234",
    ),
    *(b"0.1234567890123456789", b"0.30000000000000004", b"21.400000000000002", b"4.35", b"1.10"),
    *(b"123456789012345.6", b"1234567890123456.7", b"9999999999999998.0", b"12345678901234567.5"),
    *(
        b"999999999999999999",
        b"9223372036854775807",
        b"-9223372036854775808",
        b"1000000000000000000",
    ),
    *(
        b"18446744073709551615",
        b"18446744073709551616",
        b"-99999999999999999999",
        b"1" * 60,
        b"0.1" + b"0" * 60,
    ),
    *(
        b"9223372036854775808.0",
        b"NaN",
        b"Infinity",
        b"-Infinity",
        b"01",
        b"-01",
        b"+1",
        b".5",
        b"1.",
        b"1.e5",
    ),
    *(
        b"--1",
        b"-",
        b"0x10",
        b"1_0",
        b"1 2",
        b"true",
        b"false",
        b"null",
        b"True",
        b"nul",
        b"truefalse",
        b"",
    ),
    *(
        b'""',
        b'"a"',
        b'"\\u00e4"',
        b'"\\/"',
        b'"\\n"',
        b'"a\\u0000b"',
        b'"\\ud800"',
        b'"\\ud83d\\ude00"',
        b'"\\x"',
    ),
    *(
        b'"\t"',
        b'"\x00"',
        b'"\x7f"',
        b'"\xc3\xa4\xe2\x80\xa8\xf0\x9f\x98\x80"',
        b'"\xef\xbb\xbf"',
        b'"open',
    ),
    *(b'"\xff"', b'"\xc0\xaf"', b'"\xed\xa0\x80"', b'"\xf4\x90\x80\x80"', b'"\xc3"'),
    *(
        b"[]",
        b"{}",
        b"[ ]",
        b"{ }",
        b"[1,]",
        b"[,1]",
        b"[1 ,\t2\r]",
        b'{"a":1,}',
        b'{"a"}',
        b'{"a":}',
        b"{1:2}",
    ),
    *(
        b'{"a":1,"a":2}',
        b'{"a":{"b":1,"b":2},"c":3}',
        b'{"a":1,"\\u0061":2}',
        b'{ "b" : 1 , "a" : [ 2 ] }',
    ),
    *(b"[" * depth + b"1" + b"]" * depth for depth in (1, 7, 8, 9, 31, 32, 33, 1100)),
    *(b'{"a":' * depth + b"1" + b"}" * depth for depth in (7, 8, 9, 32, 33)),
    b"{%b}" % b",".join(b'"k%d":%d' % (n, n) for n in range(32)),
    b"{%b}" % b",".join(b'"k%d":%d' % (n, n) for n in range(33)),
    *(b'"%b"' % (b"x" * size) for size in (4093, 4094, 4095, 5000)),
    b'{"1e5":1}',
]
KEYS = [
    *(
        b'"speed"',
        b'""',
        b'" "',
        b'"%b"' % (b"k" * 256),
        b'"%b"' % (b"k" * 257),
        b'"a\\u0062"',
        b'"a\\"b"',
    ),
    *(
        b'"\xc3\xa4"',
        b'"a\xe2\x80\x8bb"',
        b'"\xf0\x9f\x91\xa9\xe2\x80\x8d\xf0\x9f\x92\xbb"',
        b'"a\xe2\x80\x8d"',
    ),
    *(b'"a\x7f"', b'"\xe2\x80\xae"', b"1", b"null", b'"open', b'"__proto__"', b'"\xff"'),
]
PAYLOADS = [
    *(b'{"key":"a","value":%b}' % value for value in VALUES),
    *(b'{"key":%b,"value":1}' % key for key in KEYS),
    *(b'{"data":{%b:1,"b":2}}' % key for key in KEYS),
    *(b'{"samples":[[%b,1],["b",2]]}' % key for key in KEYS[:8]),
    *(
        b'{"key":"a","value":1,"ts":%b}' % ts
        for ts in (
            *(
                b"0",
                b"-1",
                b"-0",
                b"1795163523",
                b"1795163523.5",
                b"1795163523.50",
                b"1795163523.1234567",
                b"1e9",
            ),
            *(
                b"253402300799",
                b"253402300800",
                b"99999999999",
                b"99999999999.9",
                b"null",
                b'"1"',
                b"true",
                b"[1]",
            ),
        )
    ),
    *(
        b'{"key":"a","value":1,"seq":%b}' % seq
        for seq in (
            *(
                b"1",
                b"2",
                b"7",
                b"0",
                b"-1",
                b"1.0",
                b"1.5",
                b"1e0",
                b"01",
                b"null",
                b'"1"',
                b"true",
            ),
            *(b"9007199254740991", b"9007199254740992", b"999999999999999", b"1000000000000000"),
        )
    ),
    *(
        b'{"device_id":%b,"key":"a","value":1}' % name
        for name in (b'"device-00001"', b'"x"', b"null", b"1", b'""')
    ),
    *(
        b'{"session_id":%b,"key":"a","value":1}' % name
        for name in (b'"device-00001"', b'"device-0000\\u0031"', b"[]")
    ),
    b'{"device_id":"device-00001","session_id":"device-00001","key":"a","value":1}',
    *(
        b'{"data":%b}' % data
        for data in (b"{}", b"[]", b"null", b'{"a":1,"a":2}', b'{"a":1,"b":[1.50]}', b'{"a"}')
    ),
    *(
        b'{"samples":%b}' % rows
        for rows in (
            *(
                b"[]",
                b"{}",
                b"[[]]",
                b'[["a"]]',
                b'[["a",1,2,3]]',
                b'[["a",1,null]]',
                b'[["a",1,1795163523.50]]',
            ),
            *(
                b'[["a",1],["a",2]]',
                b'[["a",1,-1]]',
                b'[ [ "a" , 1 , 5 ] , [ "b" , 2 ] ]',
                b'[["a",1],null]',
            ),
            b"[%b]" % b",".join(b'["k%d",%d]' % (n % 7, n) for n in range(512)),
            b"[%b]" % b",".join(b'["k%d",%d]' % (n % 7, n) for n in range(513)),
            b"[%b]" % b",".join(b'["k%d",%d]' % (n % 7, n) for n in range(2001)),
        )
    ),
    b'{"data":{%b}}' % b",".join(b'"k%d":%d' % (n, n) for n in range(300)),
    *(
        b"{}",
        b"[]",
        b"null",
        b"1",
        b'"a"',
        b'{"key":"a"}',
        b'{"value":1}',
        b'{"key":"a","value":1,"data":{"b":1}}',
    ),
    *(
        b'{"data":{"a":1},"samples":[["a",1]]}',
        b'{"data":{"a":1},"value":1}',
        b'{"data":{"a":1},"data":{"b":2}}',
        b'{"ts":1,"key":"a","ts":2,"value":1}',
        b'{"key":"a","key":"b","value":1}',
    ),
    *(
        b'{"key":"a","value":1,"value":2}',
        b'{"key":"a","value":1,"unit":"m"}',
        b'{"key":"a","value":1,}',
        b"{",
    ),
    *(
        b'{"k\\u0065y":"a","value":1}',
        b'{"seq":1,"value":[1,2],"ts":5,"key":"a"}',
        b'{"key" : "a" , "value"\t:\r1 }',
    ),
]
TEXTS = [
    *(b'42["update_data",%b]' % payload for payload in PAYLOADS),
    *(
        b'42%b["update_data",{"key":"a","value":1}]' % number
        for number in (
            *(
                b"0",
                b"007",
                b"1",
                b"999999999999999",
                b"1234567890123456",
                b"12345678901234567",
                b"-1",
                b"1a",
                b" ",
            ),
            *(b"\xd9\xa1", b"\xc2\xb2", b"/,", b"/x,1"),
        )
    ),
    *(
        b"42" + event
        for event in (
            *(
                b'["update_data"]',
                b'["update_data",]',
                b'["update_data",{"key":"a","value":1},1]',
                b"[]",
                b"[1]",
                b"",
            ),
            *(
                b'["update_data",{"key":"a","value":1}]x',
                b'["update_data",{"key":"a","value":1}',
                b'["update_dat"]',
            ),
            *(
                b' ["update_data",{"key":"a","value":1}]',
                b'[ "update_data" , {"key":"a","value":1} ] ',
                b"[[],{}]",
            ),
            *(
                b'["update_data\\u0061",{}]',
                b'["upd\\u0061te_data",{"key":"a","value":1}]',
                b'["ping",{}]',
                b'["no"]',
            ),
            *(
                b'["update_telemetry",{"telemetry":{"a":1}}]',
                b'["update_data",{"key":"a","value":1}]\x00',
                b"[",
            ),
        )
    ),
    *(
        b"",
        b"2",
        b"3",
        b"1",
        b"40",
        b"41",
        b"40/x,",
        b"43",
        b'431["x"]',
        b'451-["x",{}]',
        b"4",
        b"9",
        b"\xff",
        b"5",
    ),
]
SHORT = frames.encode_masked(frames.TEXT, b'42["update_data",{"key":"a","value":1}]', KEY)
FRAMES = {
    "ping": frames.encode_masked(frames.PING, b"x", KEY),
    "binary": frames.encode_masked(frames.BINARY, b"x", KEY),
    "close": frames.encode_masked(frames.CLOSE, frames.close_payload(1000, "bye"), KEY),
    "fragments": b"\x01"
    + SHORT[1:]
    + frames.encode_masked(frames.PING, b"", KEY)
    + b"\x80\x80"
    + KEY,
    "continuation": b"\x80" + SHORT[1:],
    "reserved": b"\xc1" + SHORT[1:],
    "opcode": b"\x83" + SHORT[1:],
    "unmasked": frames.encode(frames.TEXT, b'42["update_data",{"key":"a","value":1}]'),
    "long form": b"\x81\xfe\x00" + bytes([SHORT[1] & 0x7F]) + SHORT[2:],
    "longer form": b"\x81\xff" + bytes(7) + bytes([SHORT[1] & 0x7F]) + SHORT[2:],
    "too long": b"\x81\xff" + (1 << 20).to_bytes(8, "big") + KEY + bytes(300),
    "65,535 bytes": frames.encode_masked(
        frames.TEXT, (b'42["update_data",{"key":"a","value":1}' + b" " * 65535)[:65534] + b"]", KEY
    ),
    "65,536 bytes": frames.encode_masked(
        frames.TEXT, (b'42["update_data",{"key":"a","value":1}' + b" " * 65536)[:65535] + b"]", KEY
    ),
    "125": frames.encode_masked(
        frames.TEXT, b'42["update_data",{"key":"a","value":"%b"}]' % (b"x" * 84), KEY
    ),
    "126": frames.encode_masked(
        frames.TEXT, b'42["update_data",{"key":"a","value":"%b"}]' % (b"x" * 85), KEY
    ),
    "empty": frames.encode_masked(frames.TEXT, b"", KEY),
    "many": SHORT * 700,
    "crumbs": frames.encode_masked(frames.TEXT, b"3", KEY) * 1500 + SHORT,
}

STATES = {
    "numbers": b"\n".join(
        b'42%d["update_data",{"key":"a","value":1,"seq":%d}]' % (n, n) for n in range(1, 9)
    ),
    "numbers and none": b"\n".join(
        b'42%d["update_data",{"key":"a","value":1%b}]' % (n, b',"seq":%d' % n if n % 3 else b"")
        for n in range(1, 9)
    ),
    "a gap and a duplicate": b"\n".join(
        b'42%d["update_data",{"key":"a","value":1,"seq":%d}]' % (n, seq)
        for n, seq in enumerate((1, 2, 2, 5, 3, 4, 1))
    ),
    "busy": b'421["wait",{}]\n422%b\n423%b\n424["ping",{}]' % (PLAIN, PLAIN),
    "lost": b'421%b\n42["lose"]\n422%b\n42%b' % (PLAIN, PLAIN, PLAIN),
    "not allowed": b'421%b\n42["forbid"]\n422%b' % (PLAIN, PLAIN),
    "held": b'421%b\n42["hold"]\n422%b' % (PLAIN, PLAIN),
    "goodbye": b"421%b\n41\n422%b" % (PLAIN, PLAIN),
    "many": b"\n".join(b"42%d%b" % (n, PLAIN) for n in range(1, 600)),
    "many samples": b"\n".join(
        b'42%d["update_data",{"samples":[%b]}]' % (n, b",".join([b'["a",1]'] * 90))
        for n in range(1, 60)
    ),
}
OPTIONS: dict[str, dict[str, Any]] = {
    "no limits": {},
    "few events": {"limits": Limits(events_per_s=3, bytes_per_s=1 << 20)},
    "some events": {"limits": Limits(events_per_s=100, bytes_per_s=1 << 20)},
    "few bytes": {"limits": Limits(events_per_s=1000, bytes_per_s=250)},
    "some bytes": {"limits": Limits(events_per_s=1000, bytes_per_s=20_000)},
    "small buffer": {"max_buffer_bytes": 3000},
    "numbers before": {"last_seq": 6},
}
