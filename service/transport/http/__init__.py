"""The web servers of a node, eventlet's and gevent's, behind a request reader of our own.

Written for eventlet 0.41.3 and gevent 26.9.0. Without it they have these faults, each of which can be used
before a token is shown:

* eventlet/wsgi.py:230 reads the line with a chunk's size to its end, however long it is.
* eventlet's timeout begins again with every piece, gevent has none: a head may take for ever.
* eventlet/wsgi.py:730 and gevent/pywsgi.py:170 read and throw away what is left of a body, all of it.
* Both read on without switching tasks while there is something to read: requests in a row, or chunks of one
  byte, stop the event loop.
* Framing: two lengths, `+2`, `0_2`, `chunked` next to others, chunk sizes with `0x`, header lines that end in
  a bare CR. A proxy that reads one of them in another way takes our answer to one client for another's.

`Reader` replaces their buffered reader: it reads a head as a whole, within one deadline, has it checked
(`heads`), and passes it on line by line; bodies come through it too. Everything after that, from the parsed
request to the answer, is the library's. With eventlet we parse the head and make the environ of it too, and a request
for a websocket is given to the application first: eventlet answers what did not become one.
"""
